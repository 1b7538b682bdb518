#include "archive/compress.h"

#include <unistd.h>

#include <algorithm>
#include <random>

#include "archive/tree_on_disk.h"
#include "base/process.h"

using namespace slipway;
using namespace slipway::archive;

namespace {

std::string random_text(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  // Sixteen letters: compressible, but not to nothing.
  for (char& c : text) c = static_cast<char>('a' + random() % 16);
  return text;
}

void put(const fs::path& path, std::string_view content) {
  make_directories(path.parent_path());
  write_file_atomic(path, content);
}

// A small tree with everything the format has a special case for.
void make_tree(const fs::path& root) {
  put(root / "empty", "");
  put(root / "block", std::string(512, 'x'));
  put(root / "bin/run", "#!/bin/sh\n");
  fs::permissions(root / "bin/run", fs::perms(0755));
  put(root / std::string(100, 'n'), "name of 100");
  put(root / std::string(101, 'n'), "name of 101");
  put(root / std::string(90, 'd') / std::string(200, 'e') / "deep", "deep");
  put(root / "caf\xc3\xa9", "utf-8");
  put(root / "latin\xe9", "not utf-8");
  put(root / "new\nline", "odd");
  fs::create_symlink("bin/run", root / "link");
  fs::create_symlink(std::string(150, 't'), root / "long-link");
  fs::create_symlink("../../../etc/passwd", root / "dots");
}

}  // namespace

TEST_CASE("GNU tar reads our archives as the tree they were made of (SLUG-1)") {
  const TempDir dir = TempDir::create("compress-test");
  make_tree(dir.path() / "in");
  const Tree tree = list_on_disk(dir.path() / "in");
  write_file_atomic(dir.path() / "a.tgz", compress(tar_source(dir.path() / "in", tree)));
  shell("mkdir $1/out; gzip -t $1/a.tgz; tar -xzf $1/a.tgz -C $1/out --no-same-owner",
        {dir.path().string()});
  Tree back = list_on_disk(dir.path() / "out");
  REQUIRE(back.entries.size() == tree.entries.size());
  for (size_t i = 0; i < tree.entries.size(); ++i) {
    INFO(tree.entries[i].path);
    const TreeEntry& is = back.entries[i];
    const TreeEntry& was = tree.entries[i];
    CHECK(is.path == was.path);
    CHECK(is.type == was.type);
    CHECK(is.mode == was.mode);
    CHECK(is.link == was.link);
    CHECK(is.digest == was.digest);
    CHECK(is.mtime_ns / 1'000'000'000 == was.mtime_ns / 1'000'000'000);
  }
  const std::string verbose = shell("tar -tvzf $1/a.tgz", {dir.path().string()});
  CHECK(verbose.find("-rwxr-xr-x root/root") == 0 + verbose.find("-rwxr-xr-x"));
}

TEST_CASE("the bytes depend on neither threads nor the order of the directory nor the day") {
  const TempDir dir = TempDir::create("compress-test");
  for (int i = 0; i < 40; ++i)
    put(dir.path() / "a" / fmt::format("f{}", i), random_text(300'000, static_cast<unsigned>(i)));
  for (int i = 39; i >= 0; --i)
    put(dir.path() / "b" / fmt::format("f{}", i), random_text(300'000, static_cast<unsigned>(i)));
  const auto bytes = [&](const char* name, int threads) {
    Tree tree = list_on_disk(dir.path() / name);
    for (TreeEntry& entry : tree.entries) entry.mtime_ns = 1'700'000'000'000'000'000;
    return compress(tar_source(dir.path() / name, tree), {.threads = threads});
  };
  const std::string one = bytes("a", 1);
  CHECK(bytes("a", 5) == one);
  CHECK(bytes("b", 2) == one);
  CHECK(one.size() > 1'000'000);
}

TEST_CASE("only the chunk of a changed file is compressed again") {
  const TempDir dir = TempDir::create("compress-test");
  for (int i = 0; i < 200; ++i)
    put(dir.path() / fmt::format("f{}", i), random_text(100'000, static_cast<unsigned>(i)));
  put(dir.path() / "m-large", random_text(9'000'000, 77));
  const Tree before = list_on_disk(dir.path());
  put(dir.path() / "f100", random_text(100'321, 1000));
  Tree after = list_on_disk(dir.path());
  for (size_t i = 0; i < after.entries.size(); ++i)
    after.entries[i].mtime_ns = before.entries[i].mtime_ns;
  const TarPlan old_plan = plan_tar(tar_source(dir.path(), before));
  std::vector<Digest> old_keys;
  for (const TarPlan::Part& part : old_plan.chunks) old_keys.push_back(part.key);
  REQUIRE(old_keys.size() >= 5);

  int fresh = 0, known = 0;
  CompressOptions options;
  options.known = [&](const Digest& key) {
    return std::find(old_keys.begin(), old_keys.end(), key) != old_keys.end();
  };
  options.on_chunk = [&](Chunk&& chunk) {
    ++(chunk.known ? known : fresh);
    CHECK(chunk.compressed.empty() == chunk.known);
  };
  TarSource source = tar_source(dir.path(), after);
  size_t opened = 0;
  source.open = [&, open = source.open](const std::vector<std::string>& paths) {
    opened += paths.size();
    return open(paths);
  };
  compress_tar(source, options);
  CHECK(fresh == 1);
  CHECK(known == static_cast<int>(old_keys.size()) - 1);
  CHECK(opened < 90);
}

TEST_CASE("chunks stay between their limits and cover the archive") {
  TarSource source;
  for (int i = 0; i < 30'000; ++i) {
    TreeEntry entry;
    entry.path = fmt::format("lib/{:06}", i);
    entry.size = static_cast<uint64_t>(i % 977) * 37;
    if (i == 15'000) entry.size = 40'000'000;
    entry.digest = hash_bytes(entry.path);
    source.members.push_back(entry);
    source.open_paths.push_back(entry.path);
  }
  const TarPlan plan = plan_tar(source);
  uint64_t total = 0;
  std::map<Digest, int> keys;
  for (const TarPlan::Part& part : plan.chunks) {
    CHECK(part.raw_size <= 8U << 20);
    CHECK(part.raw_size % 512 == 0);
    total += part.raw_size;
    CHECK(++keys[part.key] == 1);
  }
  CHECK(total == plan.raw_size);
  const double mean = static_cast<double>(total) / static_cast<double>(plan.chunks.size());
  CHECK(mean > 2.5e6);
  CHECK(mean < 5.5e6);
}

TEST_CASE("sizes past 8 GiB are written in base 256 and read by GNU tar") {
  // The header alone: nobody wants to write 9 GB in a unit test.
  TarSource source;
  TreeEntry entry;
  entry.path = "big";
  entry.size = 9ULL << 30;
  entry.mode = 0644;
  entry.mtime_ns = -5'000'000'000;
  entry.digest = hash_bytes("x");
  source.members.push_back(entry);
  source.open_paths.push_back("big");
  const TempDir dir = TempDir::create("compress-test");
  const Fd big = open_file((dir.path() / "big").string(), O_RDWR | O_CREAT, 0644);
  REQUIRE(ftruncate(big.get(), 9LL << 30) == 0);
  source.open = [&](const std::vector<std::string>&) {
    std::vector<Fd> files;
    files.push_back(open_file((dir.path() / "big").string(), O_RDONLY));
    return files;
  };
  std::string first;
  struct Enough {};
  CompressOptions options;
  options.on_chunk = [&](Chunk&& chunk) {
    first = chunk.compressed;
    throw Enough();
  };
  CHECK_THROWS_AS(compress_tar(source, options), Enough);
  write_file_atomic(dir.path() / "head.gz", first);
  const std::string listing =
      shell("gzip -dc $1/head.gz | head -c 512 | TZ=UTC tar -tvf - 2>/dev/null || true",
            {dir.path().string()});
  CHECK(listing.find("9663676416 1969-12-31 23:59") != std::string::npos);
}

TEST_CASE("a file that is not as long as listed stops the archive with its name") {
  const TempDir dir = TempDir::create("compress-test");
  put(dir.path() / "f", "12345");
  Tree tree = list_on_disk(dir.path());
  for (const uint64_t listed : {4, 6}) {
    tree.entries[0].size = listed;
    try {
      compress(tar_source(dir.path(), tree));
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.cause() == fmt::format("f has 5 bytes, its listing says {}", listed));
      CHECK(error.code() == ExitCode::machine);
      CHECK(error.hint() == "it changed while it was archived; build again");
    }
  }
}

TEST_CASE("a patch changes bytes and the key, across slices too") {
  const TempDir dir = TempDir::create("compress-test");
  const std::string text = random_text(4'200'000, 5);
  put(dir.path() / "f", text);
  const Tree tree = list_on_disk(dir.path());
  TarSource source = tar_source(dir.path(), tree);
  const Digest plain = plan_tar(source).chunks[0].key;
  source.patches.push_back({0, 4'194'300, "0123456789"});
  CHECK(plan_tar(source).chunks[0].key != plain);
  write_file_atomic(dir.path() / "p.tgz", compress(source));
  std::string wanted = text;
  wanted.replace(4'194'300, 10, "0123456789");
  const std::string got = shell("tar -xzOf $1/p.tgz f | sha256sum", {dir.path().string()});
  CHECK(got.substr(0, 64) == sha256_hex(wanted));
}

TEST_CASE("cancelling ends the compression") {
  const TempDir dir = TempDir::create("compress-test");
  for (int i = 0; i < 20; ++i)
    put(dir.path() / fmt::format("f{}", i), random_text(3'000'000, static_cast<unsigned>(i)));
  Cancel cancel;
  CompressOptions options;
  options.cancel = &cancel;
  options.on_chunk = [&](Chunk&&) { cancel.request(); };
  const Tree tree = list_on_disk(dir.path());
  CHECK_THROWS_AS(compress_tar(tar_source(dir.path(), tree), options), Interrupted);
}

TEST_CASE("many gzip members are one file to every reader that is installed") {
  const TempDir dir = TempDir::create("compress-test");
  for (int i = 0; i < 60; ++i)
    put(dir.path() / "in" / fmt::format("f{}", i), random_text(200'000, static_cast<unsigned>(i)));
  const Tree tree = list_on_disk(dir.path() / "in");
  const TarSource source = tar_source(dir.path() / "in", tree);
  REQUIRE(plan_tar(source).chunks.size() >= 3);
  write_file_atomic(dir.path() / "a.tgz", compress(source));
  const std::string raw =
      shell("gzip -dc $1/a.tgz > $1/a.tar; sha256sum < $1/a.tar", {dir.path().string()})
          .substr(0, 64);
  struct Program {
    const char* name;
    const char* script;
  };
  const Program readers[] = {
      {"pigz", "pigz -dc $1/a.tgz | sha256sum"},
      {"python3",
       "cd $1; python3 -c 'import gzip,hashlib;"
       "print(hashlib.sha256(gzip.open(\"a.tgz\").read()).hexdigest())';"
       "python3 -c 'import tarfile;assert len(tarfile.open(\"a.tgz\").getmembers())==60'"},
      {"node",
       "cd $1; node -e 'const z=require(\"zlib\"),c=require(\"crypto\"),f=require(\"fs\");"
       "console.log(c.createHash(\"sha256\").update(z.gunzipSync(f.readFileSync(\"a.tgz\")))"
       ".digest(\"hex\"))'"},
      {"javac",
       "cd $1; printf '%s' 'import java.io.*;import java.util.zip.*;class G{public static void "
       "main(String[] a)throws Exception{try(InputStream i=new GZIPInputStream(new "
       "FileInputStream(\"a.tgz\"))){i.transferTo(System.out);}}}' > G.java; javac G.java;"
       "java -cp . G | sha256sum"},
      {"go",
       "cd $1; printf '%s' 'package main;import (\"compress/gzip\";\"io\";\"os\");func main(){"
       "f,_:=os.Open(\"a.tgz\");z,_:=gzip.NewReader(f);io.Copy(os.Stdout,z)}' > g.go;"
       "GOFLAGS=-mod=mod GO111MODULE=off go run g.go | sha256sum"},
  };
  for (const Program& reader : readers) {
    if (find_program(reader.name).empty()) {
      WARN(reader.name << " is not installed: not tried");
      continue;
    }
    INFO(reader.name);
    CHECK(shell(reader.script, {dir.path().string()}).substr(0, 64) == raw);
  }
}
