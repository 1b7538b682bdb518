#include "archive/hand_tar.h"
#include "base/error.h"
#include "base/process.h"
#include "slug_bench.h"

using namespace slipway;
using namespace slipway::slug;

namespace {

using Row = Inspection::Row;

Inspection inspect(const fs::path& file, const Manifest* manifest = nullptr,
                   const WriterOf* writers = nullptr) {
  return inspect_slug(open_file(file.string(), O_RDONLY).get(), manifest, writers);
}

const Row* find_row(const std::vector<Row>& rows, const std::string& name) {
  for (const Row& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

uint64_t compressed_sum(const std::vector<Row>& rows) {
  uint64_t sum = 0;
  for (const Row& row : rows) sum += row.compressed_bytes;
  return sum;
}

std::string noise(size_t size, unsigned seed) {
  std::string text;
  for (unsigned i = 0; text.size() < size; ++i) {
    const Digest digest = hash_bytes(fmt::format("{} {}", seed, i));
    text.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  }
  text.resize(size);
  return text;
}

void put_app(SlugBench& bench) {
  bench.put("Procfile", "web: bin/server -p $PORT\nrelease: bin/migrate\n");
  bench.put("lib/app.rb", noise(50'000, 1));
  bench.put("lib/copy.rb", noise(50'000, 1));
  bench.put("lib/zeros", std::string(3'000'000, '\0'));
  bench.put("node_modules/lodash/package.json", R"({"name":"lodash","version":"4.17.21"})");
  bench.put("node_modules/lodash/index.js", noise(200'000, 2));
  bench.put("node_modules/@babel/core/package.json", R"({"version":"7.0.0"})");
  bench.put("node_modules/@babel/core/node_modules/lodash/package.json",
            R"({"version":"3.0.0","deep":{"version":"no"}})");
  bench.put("node_modules/@babel/core/node_modules/lodash/x.js", noise(10'000, 3));
  bench.put("node_modules/broken/package.json", "{");
  bench.put("node_modules/.bin/tool", "#!/bin/sh\n");
  bench.put("vendor/bundle/ruby/3.2.0/gems/rails-html-sanitizer-1.6.0/lib/x.rb", noise(30'000, 4));
  bench.put("vendor/bundle/ruby/3.2.0/extensions/x86_64-linux/3.2.0/nokogiri-1.15.4/n.so",
            noise(20'000, 5));
  bench.put("vendor/bundle/ruby/3.2.0/gems/nokogiri-1.15.4-x86_64-linux/n.rb", "n");
  const std::string site = ".heroku/python/lib/python3.12/site-packages/";
  bench.put(site + "requests/api.py", noise(15'000, 6));
  bench.put(site + "requests-2.31.0.dist-info/RECORD",
            "requests/api.py,sha256=x,15000\n\"odd,name.py\",,\n../../../bin/x,,\n");
  bench.put(site + "odd,name.py", noise(1'000, 7));
  bench.put(site + "google/one.py", noise(2'000, 8));
  bench.put(site + "google/two.py", noise(4'000, 9));
  bench.put(site + "google_one-1.0.dist-info/RECORD", "google/one.py,,\n");
  bench.put(site + "google_two-2.0.dist-info/RECORD", "google/two.py,,\n");
  bench.put("deps/plug/hex_metadata.config",
            "{<<\"app\">>,<<\"plug\">>}.\n{<<\"version\">>,<<\"1.15.0\">>}.\n");
  bench.put("deps/plug/lib/plug.ex", noise(8'000, 10));
  bench.put("_build/prod/lib/plug/ebin/plug.beam", noise(9'000, 11));
  bench.put("_build/prod/lib/app/ebin/app.beam", noise(9'000, 12));
}

std::string failure(const fs::path& file) {
  try {
    (void)inspect(file);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK_FALSE(error.hint().empty());
    return error.cause();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("inspect: any tar.gz slug by folder, package, duplicate and size") {
  SlugBench bench;
  put_app(bench);
  const auto maker = GENERATE(as<std::string>(), "ours", "gzip", "pigz", "split");
  INFO(maker);
  const fs::path file = bench.dir.path() / "slug.tgz";
  if (maker == "ours") {
    bench.file(bench.write());
  } else {
    if (maker == "pigz" && find_program("pigz").empty()) return;
    bench.run("mkdir $1/r; ln -s ../build $1/r/app");
    bench.run("tar -C $1/r -h -cf $1/a.tar ./app");
    if (maker == "split")
      bench.run("cd $1; split -b 100k a.tar part; for p in part*; do gzip -c $p; done > slug.tgz");
    else
      bench.run(maker + " -c $1/a.tar > $1/slug.tgz");
  }
  const Inspection found = inspect(file);
  uint64_t raw = 0, files = 0;
  for (const auto& entry : archive::list_on_disk(bench.app()).entries)
    if (entry.type == archive::EntryType::file) {
      raw += entry.size;
      ++files;
    }
  CHECK(found.files == files);
  CHECK(found.raw_bytes == raw);
  CHECK(found.compressed_bytes == fs::file_size(file));
  CHECK(compressed_sum(found.folders) <= found.compressed_bytes);
  CHECK(compressed_sum(found.folders) + 4'096 > found.compressed_bytes);
  CHECK(found.process_types.at("web") == "bin/server -p $PORT");

  // Incompressible files take about their size, zeros nearly nothing.
  REQUIRE(find_row(found.folders, "node_modules") != nullptr);
  const Row& modules = *find_row(found.folders, "node_modules");
  CHECK(modules.compressed_bytes > 200'000);
  CHECK(modules.compressed_bytes < 230'000);
  REQUIRE(find_row(found.folders, "lib") != nullptr);
  CHECK(find_row(found.folders, "lib")->raw_bytes == 3'100'000);
  CHECK(find_row(found.folders, "lib")->compressed_bytes < 140'000);
  CHECK(find_row(found.folders, ".heroku/python") != nullptr);
  CHECK(find_row(found.folders, "vendor/bundle") != nullptr);
  CHECK(find_row(found.folders, "(files at the top)")->files == 1);

  CHECK(found.largest.size() == 10);
  CHECK(found.largest[0].name == "node_modules/lodash/index.js");
  REQUIRE(found.duplicates.size() == 1);
  CHECK(found.duplicates[0].raw_bytes == 50'000);
  CHECK(found.duplicates[0].files == 2);

  const auto raw_of = [&](const std::string& name) {
    const Row* row = find_row(found.packages, name);
    return row != nullptr ? row->raw_bytes : 0;
  };
  CHECK(found.packages[0].name == "npm lodash 4.17.21");
  CHECK(raw_of("npm lodash 4.17.21") == 200'000 + 37);
  CHECK(raw_of("npm lodash 3.0.0") == 10'000 + 43);
  CHECK(raw_of("npm @babel/core 7.0.0") == 19);
  CHECK(raw_of("npm broken") == 1);
  CHECK(raw_of("gem rails-html-sanitizer 1.6.0") == 30'000);
  CHECK(raw_of("gem nokogiri 1.15.4") == 20'000);
  CHECK(raw_of("gem nokogiri 1.15.4-x86_64-linux") == 1);
  CHECK(raw_of("wheel requests 2.31.0") > 16'000);
  CHECK(raw_of("wheel google_one 1.0") == 2'000 + 16);
  CHECK(raw_of("wheel google_two 2.0") == 4'000 + 16);
  CHECK(raw_of("hex plug 1.15.0") > 17'000);
  CHECK(find_row(found.packages, "hex app") == nullptr);
  CHECK(found.buildpacks.empty());

  const Json json = found.to_json();
  CHECK(json["packages"][0]["name"] == "npm lodash 4.17.21");
  CHECK(json["size"] == found.compressed_bytes);
}

TEST_CASE("inspect: by buildpack when the build is known") {
  SlugBench bench;
  put_app(bench);
  const fs::path file = bench.file(bench.write());
  Manifest manifest;
  manifest.buildpacks = {{.name = "elixir"}, {.name = "nodejs"}};
  manifest.process_types = {{"ignored", "the Procfile inside wins"}};
  const WriterOf writers = {{"deps/plug/lib/plug.ex", 0},
                            {"node_modules/lodash/index.js", 1},
                            {"lib/app.rb", -1},
                            {"lib/copy.rb", 7}};
  const Inspection found = inspect(file, &manifest, &writers);
  CHECK(find_row(found.buildpacks, "elixir")->raw_bytes == 8'000);
  CHECK(find_row(found.buildpacks, "nodejs")->raw_bytes == 200'000);
  CHECK(find_row(found.buildpacks, "(the app's source)")->raw_bytes == found.raw_bytes - 208'000);
  CHECK(found.process_types.count("ignored") == 0);
}

TEST_CASE("inspect: what is no slug, is damaged, cut short or a bomb is told so with exit 4") {
  SlugBench bench;
  const fs::path file = bench.dir.path() / "x";
  write_file_atomic(file, "");
  CHECK(failure(file) == "the archive is empty");
  write_file_atomic(file, "#!/bin/sh\necho no\n");
  CHECK(failure(file) == "this is no slug: it is not compressed");
  write_file_atomic(file, archive::HandTar().file("./app/x", "x").done());
  CHECK(failure(file) == "this is no slug: it is not compressed");
  bench.run("yes | head -c 5000 | gzip > $1/x");
  CHECK(starts_with(failure(file), "the archive is damaged, cut short or of an unknown format"));
  write_file_atomic(bench.dir.path() / "t", archive::HandTar().file("other/x", "x").done());
  bench.run("gzip -c $1/t > $1/x");
  CHECK(failure(file) == "this is no slug: nothing in it lies below ./app");

  put_app(bench);
  const std::string whole = read_file(bench.file(bench.write()));
  for (const double part : {0.001, 0.2, 0.6, 0.999}) {
    const auto at = static_cast<size_t>(static_cast<double>(whole.size()) * part);
    write_file_atomic(file, whole.substr(0, at));
    CHECK_FALSE(failure(file).empty());
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x04);
    write_file_atomic(file, flipped);
    CHECK_FALSE(failure(file).empty());
  }
  bench.run(
      "mkdir -p $1/z/app; truncate -s 300M $1/z/app/zeros; tar -C $1/z -c ./app | gzip -9 > $1/x");
  CHECK(failure(file) == "the slug expands more than 500 fold");
}

TEST_CASE("inspect: members outside ./app are counted apart") {
  SlugBench bench;
  write_file_atomic(bench.dir.path() / "t", archive::HandTar()
                                                .file("./app/x", "12345")
                                                .file("./application/y", "123")
                                                .file("app/z", "1")
                                                .done());
  bench.run("gzip -c $1/t > $1/x");
  const Inspection found = inspect(bench.dir.path() / "x");
  CHECK(find_row(found.folders, "(outside ./app, ignored on a dyno)")->raw_bytes == 4);
  CHECK(find_row(found.folders, "(files at the top)")->raw_bytes == 5);
}
