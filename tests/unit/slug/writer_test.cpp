#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "slug_bench.h"

using namespace slipway;
using namespace slipway::slug;

namespace {

std::string noise(size_t size, unsigned seed) {
  std::string text;
  for (unsigned i = 0; text.size() < size; ++i)
    text += hash_bytes(fmt::format("{} {}", seed, i)).hex();
  text.resize(size);
  return text;
}

}  // namespace

TEST_CASE("a slug is ./app in GNU format, root's, with hard links as copies (SLUG-1, SLUG-2)") {
  SlugBench bench;
  bench.put("bin/run", "#!/bin/sh\n", 0755);
  bench.put("suid", "x", 0755);
  fs::permissions(bench.app() / "suid", fs::perms(04755));
  bench.put("data", "shared content");
  fs::create_hard_link(bench.app() / "data", bench.app() / "twin");
  fs::create_symlink("bin/run", bench.app() / "link");
  const fs::path file = bench.file(bench.write());
  const std::string listing = bench.run("TZ=UTC tar --full-time --numeric-owner -tvzf $1/slug.tgz");
  CHECK(listing ==
        "drwxr-xr-x 0/0               0 2017-07-14 02:40:00 ./app/\n"
        "drwxr-xr-x 0/0               0 2017-07-14 02:40:00 ./app/bin/\n"
        "-rwxr-xr-x 0/0              10 2017-07-14 02:40:00 ./app/bin/run\n"
        "-rw-r--r-- 0/0              14 2017-07-14 02:40:00 ./app/data\n"
        "lrwxrwxrwx 0/0               0 2017-07-14 02:40:00 ./app/link -> bin/run\n"
        "-rwxr-xr-x 0/0               1 2017-07-14 02:40:00 ./app/suid\n"
        "-rw-r--r-- 0/0              14 2017-07-14 02:40:00 ./app/twin\n");
  CHECK(bench.run("tar -tvzf $1/slug.tgz").find("root/root") != std::string::npos);
  CHECK(bench.run("gzip -dc $1/slug.tgz | head -c 265 | tail -c 8") == std::string("ustar  \0", 8));
}

TEST_CASE("the artifact's checksum and sizes are those of the file") {
  SlugBench bench;
  for (int i = 0; i < 30; ++i)
    bench.put(fmt::format("f{}", i), noise(400'000, static_cast<unsigned>(i)));
  const cache::Artifact artifact = bench.write();
  const fs::path file = bench.file(artifact);
  CHECK(artifact.chunks.size() > 2);
  CHECK(artifact.size_bytes == fs::file_size(file));
  CHECK(artifact.sha256 == sha256_hex(read_file(file)));
  CHECK(std::to_string(artifact.raw_size_bytes) == trim(bench.run("gzip -dc $1/slug.tgz | wc -c")));
}

TEST_CASE("unchanged: nothing is opened; one change: only its chunk, and the checksum is right") {
  SlugBench bench;
  for (int i = 0; i < 100; ++i)
    bench.put(fmt::format("f{}", i), noise(200'000, static_cast<unsigned>(i)));
  const cache::Artifact first = bench.write();
  CHECK(bench.opened == 100);
  const cache::Artifact again = bench.write();
  CHECK(bench.opened == 100);
  CHECK(again.id == first.id);
  CHECK(again.sha256 == first.sha256);
  CHECK(again.size_bytes == first.size_bytes);

  bench.put("f50", noise(200'100, 5000));
  const cache::Artifact changed = bench.write();
  CHECK(bench.opened < 100 + 60);
  CHECK(changed.id != first.id);
  CHECK(changed.sha256 == sha256_hex(read_file(bench.file(changed))));
  // The same bytes as a store that never saw the first one.
  SlugBench other;
  fs::copy(bench.app(), other.app(), fs::copy_options::recursive);
  CHECK(other.write().sha256 == changed.sha256);
}

TEST_CASE("equal content gives equal bytes whatever the times, owners and order on disk") {
  SlugBench a, b;
  for (SlugBench* bench : {&a, &b}) {
    bench->put("x/one", "1");
    bench->put("x/two", "2");
    bench->put("node_modules/m/index.js", "3");
  }
  b.run(
      "touch -d 2001-01-01 $1/build/x/one; chmod 700 $1/build; mv $1/build/x $1/build/y; "
      "mv $1/build/y $1/build/x");
  CHECK(a.write().sha256 == b.write().sha256);
  CHECK(a.write(1'500'000'001).sha256 != b.write().sha256);
}

TEST_CASE("times: dependencies fixed, the rest the source's, never 0 (SLUG-4)") {
  constexpr int64_t fixed = 315532801;
  CHECK(mtime_in_slug("lib/app.ex", 1'600'000'000) == 1'600'000'000);
  CHECK(mtime_in_slug("_build/prod/lib/x.beam", 1'600'000'000) == 1'600'000'000);
  for (const char* path :
       {".heroku", ".heroku/python/bin/python", "deps/plug/mix.exs", "vendor/bundle/x",
        "node_modules/a/b", "assets/node_modules/a", "node_modules"})
    CHECK(mtime_in_slug(path, 1'600'000'000) == fixed);
  CHECK(mtime_in_slug("lib/deps/x", 1'600'000'000) == 1'600'000'000);
  CHECK(mtime_in_slug("my_node_modules/x", 1'600'000'000) == 1'600'000'000);
  CHECK(mtime_in_slug("lib/app.ex", 0) == fixed);
}

TEST_CASE("Python recompiles nothing at boot and its .pyc do not differ between days (PEP 552)") {
  if (find_program("python3").empty()) {
    WARN("python3 is not installed: not tried");
    return;
  }
  const auto build = [](SlugBench& bench, const char* day) {
    bench.put("main.py", "import lib.helper\nprint(lib.helper.answer())\n");
    bench.put("lib/__init__.py", "");
    bench.put("lib/helper.py", "def answer():\n    return 42\n");
    bench.put(".heroku/python/site-packages/dep.py", "x = 1\n");
    bench.put("hashed.py", "y = 1\n");
    bench.put("stale.py", "z = 1\n");
    bench.run(std::string("cd $1/build; find . -exec touch -d '") + day +
              "' {} +; python3 -m compileall -q -f lib main.py stale.py .heroku;"
              "python3 -O -m compileall -q -f lib;"
              "python3 -m compileall -q --invalidation-mode checked-hash hashed.py;"
              "touch -d 2015-05-05 stale.py");
  };
  SlugBench monday, friday;
  build(monday, "2024-01-01 10:00");
  build(friday, "2024-01-05 11:11");
  // What differs between the days on disk is what the patch makes equal; stale.pyc differs.
  monday.run("rm $1/build/stale.py $1/build/__pycache__/stale*");
  friday.run("rm $1/build/stale.py $1/build/__pycache__/stale*");
  const cache::Artifact one = monday.write(1'600'000'000);
  CHECK(friday.write(1'600'000'000).sha256 == one.sha256);
  monday.file(one);
  monday.run("mkdir $1/out; tar -xzf $1/slug.tgz -C $1/out");
  // Python says with -v which files it takes; a rewritten one would have another inode.
  const std::string before =
      monday.run("cd $1/out/app; find . -name '*.pyc' | sort | xargs stat -c '%n %i %Y'");
  const std::string said = monday.run(
      "cd $1/out/app; PYTHONPATH=.heroku/python/site-packages python3 -v -c "
      "'import lib.helper, dep, hashed; print(lib.helper.answer())' 2>&1; "
      "python3 -O -c 'import lib.helper'");
  CHECK(said.find("42") != std::string::npos);
  const std::vector<std::string> lines = split(said, '\n');
  for (const char* module : {"lib/helper.py", "lib/__init__.py", "site-packages/dep.py"}) {
    INFO(module);
    CHECK(std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(".pyc matches ") != std::string::npos && ends_with(line, module);
    }));
  }
  CHECK(said.find("bytecode is stale") == std::string::npos);
  CHECK(said.find("# wrote ") == std::string::npos);
  CHECK(monday.run("cd $1/out/app; find . -name '*.pyc' | sort | xargs stat -c '%n %i %Y'") ==
        before);
  CHECK(before.find("opt-1.pyc") != std::string::npos);
}

TEST_CASE("a .pyc that did not match its source stays as it is, and so Python notices") {
  if (find_program("python3").empty()) {
    WARN("python3 is not installed: not tried");
    return;
  }
  SlugBench bench;
  bench.put("stale.py", "old = 1\n");
  bench.run("cd $1/build; python3 -m compileall -q stale.py; cp __pycache__/*.pyc $1/kept");
  bench.put("stale.py", "new = 1\n");
  bench.run("touch -d 2015-05-05 $1/build/stale.py");
  bench.file(bench.write());
  bench.run(
      "mkdir $1/out; tar -xzf $1/slug.tgz -C $1/out; cmp $1/kept $1/out/app/__pycache__/*.pyc;"
      "cd $1/out/app; python3 -c 'import stale; stale.new'");
}

TEST_CASE("an odd name or an empty folder survives; an empty app is a slug too") {
  SlugBench bench;
  make_directories(bench.app() / "empty");
  bench.put("latin\xe9\n", "x");
  bench.file(bench.write());
  bench.run("mkdir $1/out; tar -xzf $1/slug.tgz -C $1/out; diff -r $1/build $1/out/app");
  SlugBench nothing;
  make_directories(nothing.app());
  nothing.file(nothing.write());
  CHECK(nothing.run("tar -tzf $1/slug.tgz") == "./app/\n");
}

TEST_CASE("a file that changed since the listing fails the slug and leaves no artifact") {
  SlugBench bench;
  bench.put("f", "12345");
  const archive::Tree tree = archive::list_on_disk(bench.app());
  bench.put("f", "123456789");
  try {
    bench.write_tree(tree);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.cause() == "f has 9 bytes, its listing says 5");
    CHECK(error.code() == ExitCode::machine);
  }
  bench.put("f", "54321");
  CHECK(bench.write().sha256 == sha256_hex(read_file(bench.file(bench.write()))));
}
