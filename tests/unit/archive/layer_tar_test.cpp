// Layer tars: their listing's stored form, their headers, and what other programs read in them.
#include <algorithm>
#include <random>

#include "archive/layer_header.h"
#include "archive/tree_on_disk.h"

using namespace slipway;
using namespace slipway::archive;
using Catch::Matchers::Contains;

namespace {

struct Content {
  std::map<std::string, std::string> files;
  TempDir dir = TempDir::create("layer-tar-test");

  OpenFiles opener() {
    return [this](const std::vector<std::string>& paths) {
      REQUIRE(paths.size() <= 64);
      std::vector<Fd> opened;
      for (const std::string& path : paths) {
        const fs::path file = dir.path() / hash_bytes(path).hex();
        write_file_atomic(file, files.at(path));
        opened.push_back(open_file(file.string(), O_RDONLY));
      }
      return opened;
    };
  }
};

LayerEntry entry(LayerEntryType type, const std::string& path, uint32_t mode = 0644,
                 const std::string& link = {}) {
  LayerEntry made;
  made.type = type;
  made.path = path;
  made.mode = mode;
  made.link = link;
  made.mtime = 1'600'000'000;
  return made;
}

LayerEntry file(Content& content, const std::string& path, const std::string& bytes) {
  LayerEntry made = entry(LayerEntryType::file, path);
  made.size = bytes.size();
  if (!bytes.empty()) made.digest = hash_bytes(bytes);
  content.files[path] = bytes;
  return made;
}

// Everything a layer may hold.
LayerListing full_listing(Content& content) {
  LayerListing listing;
  auto& list = listing.entries;
  list.push_back(entry(LayerEntryType::whiteout, ".wh.gone", 0));
  list.back().mtime = 0;
  list.push_back(entry(LayerEntryType::directory, "bin", 0755));
  list.push_back(file(content, "bin/ping", "ping"));
  list.back().mode = 04755;
  list.back().attributes = {{"security.capability", std::string("\1\0\0\2\0\x20\0\0\0\0\0\0"
                                                                "\0\0\0\0\0\0\0\0",
                                                                20)}};
  list.push_back(entry(LayerEntryType::hard_link, "bin/ping6", 04755, "bin/ping"));
  list.push_back(entry(LayerEntryType::symlink, "bin/sh", 0777, "../usr/bin/dash"));
  list.push_back(file(content, "caf\xc3\xa9", "utf-8"));
  list.push_back(entry(LayerEntryType::directory, "dev", 0755));
  list.push_back(entry(LayerEntryType::block_device, "dev/loop", 0660));
  list.back().device_major = 7;
  list.back().device_minor = 300;
  list.push_back(entry(LayerEntryType::character_device, "dev/null", 0666));
  list.back().device_major = 1;
  list.back().device_minor = 3;
  list.push_back(entry(LayerEntryType::fifo, "fifo", 0600));
  list.push_back(file(content, "latin\xe9", "not utf-8"));
  list.push_back(file(content, "new\nline", "odd"));
  list.push_back(file(content, std::string(100, 'n'), "name of 100"));
  list.push_back(file(content, std::string(101, 'n'), "name of 101"));
  list.push_back(file(content, "old", "before 1970"));
  list.back().mtime = -86400;
  list.push_back(file(content, "owned", "by many"));
  list.back().uid = 1000;
  list.back().gid = 4'000'000;
  list.push_back(entry(LayerEntryType::symlink, "to", 0777, std::string(150, 't') + "\xc3\xa9"));
  return listing;
}

std::string tar_of(Content& content, const LayerListing& listing, Codec codec = Codec::stored,
                   CompressOptions options = {}) {
  const LayerMembers members(listing);
  const TarInput input{.members = &members, .open = content.opener(), .codec = codec};
  std::string out;
  options.on_chunk = [&](Chunk&& chunk) { out += chunk.compressed; };
  compress_tar(input, plan_tar(input), options);
  return out;
}

std::string python(const std::string& script, const std::vector<std::string>& arguments) {
  RunOptions options;
  options.argv = {"python3", "-c", script};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  return run_ok(options).out;
}

}  // namespace

TEST_CASE("a layer's listing comes back from its stored form") {
  Content content;
  const LayerListing listing = full_listing(content);
  CHECK(parse_listing(serialize_listing(listing)).entries == listing.entries);
  CHECK(parse_listing(serialize_listing({})).entries.empty());
  CHECK(listing.total_size() == 61);
}

TEST_CASE("a layer's listing that was cut or changed is refused, never misread") {
  Content content;
  const std::string good = serialize_listing(full_listing(content));
  for (size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK_THROWS_AS(parse_listing(std::string_view(good).substr(0, size)), Error);
  }
  CHECK_THROWS_WITH(parse_listing(good + "x"), Contains("bytes after the last entry"));
  CHECK_THROWS_WITH(parse_listing("slipway-layer 2\n"), Contains("unknown version"));
  const auto refuse = [](LayerEntry bad, const std::string& why) {
    INFO(why);
    LayerListing listing;
    listing.entries.push_back(entry(LayerEntryType::file, "b"));
    std::string bytes = serialize_listing(listing);
    // The path "b" is the only one; its length and byte are replaced.
    const size_t at = bytes.find(std::string("\0\1b", 3));
    REQUIRE(at != std::string::npos);
    bytes.replace(at + 1, 2, std::string(1, static_cast<char>(bad.path.size())) + bad.path);
    CHECK_THROWS_WITH(parse_listing(bytes), Contains("malformed layer listing: path"));
  };
  for (const char* path : {"", ".", "..", "/a", "a/../b", "a//b", "a/"})
    refuse(entry(LayerEntryType::file, path), path);
  // Bits are flipped one after the other: an error or another listing, never a crash.
  for (size_t i = 0; i < good.size() * 8; ++i) {
    std::string bad = good;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    try {
      (void)parse_listing(bad);
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::machine);
    }
  }
}

TEST_CASE("whiteouts are named beside what they hide") {
  CHECK(whiteout_path("a") == ".wh.a");
  CHECK(whiteout_path("a/b/c") == "a/b/.wh.c");
}

TEST_CASE("layer headers are byte for byte those of Go's archive/tar (O6, O7)") {
  Content content;
  const std::string tar = tar_of(content, full_listing(content));
  // Made from the same entries by archive/tar of Go 1.26 with Format: tar.FormatPAX.
  CHECK(sha256_hex(tar) == "c4bf63d6ec5d108e2a03817cff88f47f1a6655b936ebbc38fcab9593d507a693");
}

TEST_CASE("records appear only when they are needed") {
  const auto header = [](const LayerEntry& one) {
    std::string bytes;
    append_layer_header(bytes, one);
    return bytes;
  };
  LayerEntry plain = entry(LayerEntryType::file, std::string(100, 'p'));
  plain.uid = plain.gid = (1 << 21) - 1;
  plain.size = (8ULL << 30) - 1;
  plain.mtime = 0;
  CHECK(header(plain).size() == 512);
  CHECK(header(plain).substr(124, 12) == std::string("77777777777\0", 12));
  const auto with_record = [&](LayerEntry one, const std::string& record) {
    INFO(record);
    const std::string bytes = header(one);
    CHECK(bytes.size() == 1536);
    CHECK(bytes[156] == 'x');
    CHECK_THAT(bytes.substr(512, 512), Contains(record));
  };
  LayerEntry one = plain;
  one.uid = 1 << 21;
  with_record(one, "15 uid=2097152\n");
  one = plain;
  one.size = 8ULL << 30;
  with_record(one, "19 size=8589934592\n");
  one = plain;
  one.mtime = -1;
  with_record(one, "12 mtime=-1\n");
  one = plain;
  one.path += 'p';
  with_record(one, "111 path=" + one.path + "\n");
  one = entry(LayerEntryType::directory, std::string(100, 'd'));
  with_record(one, "111 path=" + one.path + "/\n");
  one = entry(LayerEntryType::symlink, "l", 0777, "\xff");
  with_record(one, "14 linkpath=\xff\n");
}

TEST_CASE("the empty layer is the one everybody has (O8)") {
  Content content;
  CHECK(sha256_hex(tar_of(content, {})) ==
        "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
}

TEST_CASE("GNU tar and Python read a layer as it was listed") {
  Content content;
  LayerListing listing = full_listing(content);
  const fs::path root = content.dir.path();
  write_file_atomic(root / "layer.tar", tar_of(content, listing));
  const std::string names =
      shell("LC_ALL=C tar --quoting-style=literal -tf $1/layer.tar", {root.string()});
  for (const LayerEntry& one : listing.entries) {
    INFO(one.path);
    CHECK_THAT(names, Contains(one.path));
  }
  const std::string seen = python(R"(
import os, sys, tarfile
for m in tarfile.open(sys.argv[1], encoding='utf-8', errors='surrogateescape'):
    name = m.name.encode('utf-8', 'surrogateescape')
    link = m.linkname.encode('utf-8', 'surrogateescape')
    extra = sorted(k for k in m.pax_headers if k.startswith('SCHILY'))
    print(m.type, name, oct(m.mode), m.uid, m.gid, m.size, int(m.mtime), link, m.devmajor, m.devminor, extra)
)",
                                  {(root / "layer.tar").string()});
  for (const char* line : {
           "b'0' b'.wh.gone' 0o0 0 0 0 0 b'' 0 0 []",
           "b'5' b'bin' 0o755 0 0 0 1600000000 b'' 0 0 []",
           "b'0' b'bin/ping' 0o4755 0 0 4 1600000000 b'' 0 0 ['SCHILY.xattr.security.capability']",
           "b'1' b'bin/ping6' 0o4755 0 0 0 1600000000 b'bin/ping' 0 0 []",
           "b'2' b'bin/sh' 0o777 0 0 0 1600000000 b'../usr/bin/dash' 0 0 []",
           "b'0' b'caf\\xc3\\xa9' 0o644 0 0 5 1600000000 b'' 0 0 []",
           "b'4' b'dev/loop' 0o660 0 0 0 1600000000 b'' 7 300 []",
           "b'3' b'dev/null' 0o666 0 0 0 1600000000 b'' 1 3 []",
           "b'6' b'fifo' 0o600 0 0 0 1600000000 b'' 0 0 []",
           "b'0' b'latin\\xe9' 0o644 0 0 9 1600000000 b'' 0 0 []",
           "b'0' b'new\\nline' 0o644 0 0 3 1600000000 b'' 0 0 []",
           "b'0' b'old' 0o644 0 0 11 -86400 b'' 0 0 []",
           "b'0' b'owned' 0o644 1000 4000000 7 1600000000 b'' 0 0 []",
       }) {
    INFO(line);
    CHECK_THAT(seen, Contains(line));
  }
}

TEST_CASE("zstd frames one after the other are one file to zstd") {
  Content content;
  LayerListing listing;
  std::mt19937 random(7);
  for (int i = 0; i < 4; ++i) {
    std::string bytes(3 << 20, '\0');
    for (char& c : bytes) c = static_cast<char>('a' + random() % 16);
    listing.entries.push_back(file(content, fmt::format("f{}", i), bytes));
  }
  if (find_program("zstd").empty()) {
    WARN("skipped: zstd is not installed");
    return;
  }
  const std::string plain = tar_of(content, listing);
  const std::string packed = tar_of(content, listing, Codec::zstd);
  CHECK(packed.size() < plain.size());
  const fs::path root = content.dir.path();
  write_file_atomic(root / "layer.tar.zst", packed);
  shell("zstd -q -d $1/layer.tar.zst", {root.string()});
  CHECK(sha256_hex(read_file(root / "layer.tar")) == sha256_hex(plain));
}

TEST_CASE("the raw bytes are handed on in order, from the chunk that was asked for") {
  Content content;
  LayerListing listing;
  for (int i = 0; i < 30; ++i)
    listing.entries.push_back(file(content, fmt::format("f{:02}", i),
                                   std::string((1 << 20) + i, static_cast<char>('a' + i))));
  const std::string plain = tar_of(content, listing);
  const LayerMembers members(listing);
  const TarInput input{.members = &members, .open = content.opener()};
  const TarPlan plan = plan_tar(input);
  REQUIRE(plan.chunks.size() > 4);
  const bool all_known = GENERATE(false, true);
  for (const size_t from : {size_t{0}, size_t{2}, plan.chunks.size() - 1, plan.chunks.size()}) {
    INFO(from << " of " << plan.chunks.size() << (all_known ? ", known" : ""));
    std::string raw;
    size_t next = from, known = 0;
    CompressOptions options;
    options.threads = 3;
    options.known = [&](const Digest&) { return all_known; };
    options.raw_from = from;
    options.on_raw = [&](size_t chunk, std::string_view bytes) {
      if (chunk == next) ++next;
      raw += bytes;
    };
    options.on_chunk = [&](Chunk&& chunk) {
      known += chunk.known ? 1 : 0;
      CHECK(chunk.known == chunk.compressed.empty());
    };
    compress_tar(input, plan, options);
    CHECK(next == plan.chunks.size());
    CHECK(known == (all_known ? plan.chunks.size() : 0));
    uint64_t skipped = 0;
    for (size_t i = 0; i < from; ++i) skipped += plan.chunks[i].raw_size;
    CHECK(raw == plain.substr(skipped));
  }
}

TEST_CASE("what on_raw throws ends the compression") {
  Content content;
  LayerListing listing;
  for (int i = 0; i < 9; ++i)
    listing.entries.push_back(file(content, fmt::format("f{}", i), std::string(2 << 20, 'x')));
  const LayerMembers members(listing);
  const TarInput input{.members = &members, .open = content.opener()};
  CompressOptions options;
  options.on_chunk = [](Chunk&&) {};
  options.on_raw = [](size_t chunk, std::string_view) {
    if (chunk == 1) fail(ExitCode::machine, "enough");
  };
  CHECK_THROWS_WITH(compress_tar(input, plan_tar(input), options), Contains("enough"));
}
