// How an app's tree becomes layers, and what starts it.
#include "build/slug_layers.h"

#include <algorithm>

#include "base/process.h"
#include "build/launcher.h"

using namespace slipway;
using namespace slipway::build;
using Catch::Matchers::Contains;

namespace {

constexpr int64_t source_time = 1'600'000'000, fixed_time = 315532801;

struct App {
  archive::Tree tree;
  std::map<std::string, std::string> writers;

  void folder(const std::string& path) {
    archive::TreeEntry entry;
    entry.path = path;
    entry.type = archive::EntryType::directory;
    entry.mode = 0755;
    tree.entries.push_back(entry);
  }
  archive::TreeEntry& file(const std::string& path, const std::string& writer = "") {
    archive::TreeEntry entry;
    entry.path = path;
    entry.mode = 0644;
    entry.size = 20;
    tree.entries.push_back(entry);
    if (!writer.empty()) writers[path] = writer;
    return tree.entries.back();
  }
  SlugParts parts() {
    tree.sort();
    return part_slug(tree, writers, {"node", "ruby"}, source_time);
  }
};

std::vector<std::string> paths(const SlugLayer& layer) {
  std::vector<std::string> all;
  for (const auto& entry : layer.listing.entries) all.push_back(entry.path);
  return all;
}

using Paths = std::vector<std::string>;

}  // namespace

TEST_CASE("slug layers: each path is in one of them, below its folders") {
  App app;
  app.file("server.js");
  app.folder("lib");
  app.file("lib/a.rb");
  app.file("lib/a.o", "ruby");
  app.folder("web");
  app.folder("web/node_modules");
  app.file("web/node_modules/x.js", "node");
  app.file("web/page.html");
  app.folder("vendor");
  app.file("vendor/checked-in.rb");
  app.file("vendor/gem.rb", "ruby");
  app.file("Procfile", "ruby");
  const SlugParts parts = app.parts();
  REQUIRE(parts.dependencies.size() == 2);
  CHECK(parts.dependencies[0].title == "dependencies of node");
  CHECK(paths(parts.dependencies[0]) ==
        Paths{"app", "app/web", "app/web/node_modules", "app/web/node_modules/x.js"});
  CHECK(paths(parts.dependencies[1]) == Paths{"app", "app/vendor", "app/vendor/gem.rb"});
  CHECK(paths(parts.output) == Paths{"app", "app/Procfile", "app/lib", "app/lib/a.o"});
  CHECK(paths(parts.source) == Paths{"app", "app/lib", "app/lib/a.rb", "app/server.js",
                                     "app/vendor", "app/vendor/checked-in.rb", "app/web",
                                     "app/web/page.html"});
}

TEST_CASE("slug layers: nothing of the source is in a layer of dependencies, not even a time") {
  App app;
  app.folder("web");
  app.folder("web/node_modules");
  app.file("web/node_modules/x.js", "node");
  app.file("web/page.html");
  const SlugParts parts = app.parts();
  for (const auto& entry : parts.dependencies[0].listing.entries) {
    CHECK(entry.mtime == fixed_time);
    CHECK(entry.uid == 1000);
    CHECK(entry.gid == 1000);
  }
  for (const auto& entry : parts.source.listing.entries) CHECK(entry.mtime == source_time);
  CHECK(parts.dependencies[1].listing.entries.empty());
  CHECK(parts.output.listing.entries.empty());
}

TEST_CASE("slug layers: empty folders stay, where they belong") {
  App app;
  app.folder("log");
  app.folder("a");
  app.folder("a/b");
  app.folder(".heroku");
  app.folder(".heroku/run");
  app.writers[".heroku"] = app.writers[".heroku/run"] = "node";
  const SlugParts parts = app.parts();
  CHECK(paths(parts.source) == Paths{"app", "app/a", "app/a/b", "app/log"});
  CHECK(paths(parts.dependencies[0]) == Paths{"app", "app/.heroku", "app/.heroku/run"});
}

TEST_CASE("slug layers: a .pyc is patched in the layer it is in") {
  App app;
  app.file("a.py").mtime_ns = 5'000'000'000;
  app.folder("__pycache__");
  app.file("__pycache__/a.cpython-311.pyc", "ruby");
  const SlugParts parts = app.parts();
  CHECK(parts.source.candidates.empty());
  REQUIRE(parts.output.candidates.size() == 1);
  const size_t member = parts.output.member_of.at(parts.output.candidates[0].entry);
  CHECK(parts.output.listing.entries.at(member).path == "app/__pycache__/a.cpython-311.pyc");
}

TEST_CASE("slug layers: a pack's folder on this machine is nobody's concern") {
  CHECK(pack_name("heroku/nodejs") == "heroku/nodejs");
  CHECK(pack_name("https://example.com/a.git#v1") == "https://example.com/a.git#v1");
  CHECK(pack_name("/home/me/packs/mine/") == "mine");
  CHECK(pack_name("./mine") == "mine");
}

TEST_CASE("slug layers: modes and links are a slug's") {
  App app;
  app.file("tool").mode = 06755;
  archive::TreeEntry& link = app.file("link");
  link.type = archive::EntryType::symlink;
  link.size = 0;
  link.link = "/app/tool";
  const SlugParts parts = app.parts();
  REQUIRE(parts.source.listing.entries.size() == 3);
  const archive::LayerEntry& first = parts.source.listing.entries[1];
  CHECK(first.type == archive::LayerEntryType::symlink);
  CHECK(first.link == "/app/tool");
  CHECK(first.mode == 0777);
  CHECK(parts.source.listing.entries[2].mode == 0755);
}

TEST_CASE("launcher: process types, words and texts") {
  archive::Tree tree;
  const std::string launcher =
      image_launcher(tree, {{"web", "echo web on $PORT"}, {"odd'name", "echo 'odd'"}});
  // In a folder that any machine has; /app is the image's.
  std::string script = launcher;
  script.replace(script.find("cd /app"), 7, "cd /tmp");
  const auto says = [&](std::vector<std::string> arguments) {
    RunOptions options;
    options.argv = {"/bin/bash", "-c", script, "launch"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.env = std::map<std::string, std::string>{{"PATH", base_path}};
    return run_ok(options).out;
  };
  CHECK(says({}) == "web on 5000\n");
  CHECK(says({"web"}) == "web on 5000\n");
  CHECK(says({"odd'name"}) == "odd\n");
  CHECK(says({"echo $HOME; echo $DYNO"}) == "/app\nrun.1\n");
  CHECK(says({"echo", "$HOME", "a  b"}) == "$HOME a  b\n");
}

TEST_CASE("launcher: an image without web says what it has") {
  const std::string launcher = image_launcher({}, {{"worker", "true"}, {"clock", "true"}});
  CHECK_THAT(launcher, Contains("no web process; start it with one of: clock, worker, or a"));
}

TEST_CASE("launcher: .profile.d in byte order, then .profile") {
  archive::Tree tree;
  for (const char* path : {".profile", ".profile.d", ".profile.d/B.sh", ".profile.d/a b.sh",
                           ".profile.d/no.txt", ".profile.d/sub", ".profile.d/sub/c.sh"}) {
    archive::TreeEntry entry;
    entry.path = path;
    tree.entries.push_back(entry);
  }
  CHECK(profile_scripts(tree) == std::vector<std::string>{"B.sh", "a b.sh"});
  CHECK(start_script(profile_scripts(tree), true, "web") ==
        ". /app/.profile.d/B.sh\n. '/app/.profile.d/a b.sh'\n. /app/.profile\nweb\n");
}
