#include "source/buildpack_ref.h"

#include "helpers.h"
#include "source/buildpacks_file.h"

using namespace slipway;
using namespace slipway::source;

namespace {

const std::vector<std::string> builtins{"elixir", "nodejs", "phoenix-static"};

BuildpackRef parse(const std::string& text) {
  return parse_buildpack_ref(text, builtins);
}

/// "kind name|url|ref|path"
std::string dump(const std::string& text) {
  const BuildpackRef ref = parse(text);
  const char* kinds[] = {"builtin", "registry", "git", "tarball", "folder"};
  return fmt::format("{} {}|{}|{}|{}", kinds[static_cast<int>(ref.kind)], ref.name, ref.url,
                     ref.ref, ref.path);
}

std::string refusal(const std::string& text) {
  return error_of([&] { parse(text); });
}

}  // namespace

TEST_CASE("buildpack: every form of SRC-1") {
  const std::string tarball = public_names().registry_url({"heroku", "nodejs"});
  CHECK(dump("nodejs") == "builtin nodejs|||");
  CHECK(dump("heroku/nodejs") == "registry heroku/nodejs|" + tarball + "||");
  CHECK(dump("urn:buildpack:heroku/nodejs") == "registry heroku/nodejs|" + tarball + "||");
  CHECK(dump("https://host/o/r") == "git |https://host/o/r||");
  CHECK(dump("HTTPS://host/o/r.git") == "git |https://host/o/r.git||");
  CHECK(dump("ssh://git@host:22/r.git#v1") == "git |ssh://git@host:22/r.git|v1|");
  CHECK(dump("file:///srv/r.git") == "git |file:///srv/r.git||");
  CHECK(dump("git@host:o/r.git#archive/v250") == "git |git@host:o/r.git|archive/v250|");
  CHECK(dump("./my pack") == "folder |||./my pack");
  CHECK(dump("/abs/p") == "folder |||/abs/p");
  CHECK(dump("packs/") == "folder |||packs/");
  CHECK(dump("..") == "folder |||..");
}

TEST_CASE("buildpack: refs are split at the first '#', empty means default (SRC-2)") {
  CHECK(dump("https://host/r.git#") == "git |https://host/r.git||");
  CHECK(dump("https://host/r.git#a#b") == "git |https://host/r.git|a#b|");
  CHECK(dump("https://host/r?k=v#x") == "git |https://host/r?k=v|x|");
}

TEST_CASE("buildpack: tarball URLs (SRC-3)") {
  for (const char* url :
       {"https://h/a.tgz", "http://h/a.tar.gz?x=1", "https://h/a.tbz", "https://h/a.tar",
        "https://h/r/archive/main.tar.gz", "https://h/x?f=a.tgz"})
    CHECK(is_tarball_url(url));
  for (const char* url : {"https://h/a.tgz.git", "https://h/a.tgz#v1", "ftp://h/a.tgz",
                          "https://h/atgz", "git://h/a.tgz", "a.tgz"})
    CHECK_FALSE(is_tarball_url(url));
  CHECK(dump("https://h/a.tgz?k=v") == "tarball |https://h/a.tgz?k=v||");
  CHECK(refusal("https://h/a.tgz#v1") ==
        "2 | buildpack 'https://h/a.tgz#v1': a tarball has no refs | leave out '#' and the rest");
}

TEST_CASE("buildpack: registry URLs are shown by name (SRC-5)") {
  for (const std::string& shape : public_names().registry_shapes) {
    std::string url = shape;
    url.replace(url.find("{ns}"), 4, "acme");
    url.replace(url.find("{name}"), 6, "x-1");
    CHECK(parse(url).display() == "acme/x-1");
    CHECK(parse(url).url == url);
  }
  std::string official = public_names().official_shapes.at(0);
  official.replace(official.find("{name}"), 6, "ruby");
  CHECK(parse(official).display() == "heroku/ruby");
  CHECK_FALSE(public_names().registry_name("https://other/buildpacks/a/b.tgz"));
  CHECK_FALSE(public_names().registry_name(public_names().registry_url({"a", "b"}) + "x"));
}

TEST_CASE("buildpack: the transcript's name never shows credentials") {
  CHECK(parse("nodejs").display() == "nodejs (built in)");
  CHECK(parse("heroku/nodejs").display() == "heroku/nodejs");
  CHECK(parse("https://user:pa%40ss@host/r.git#v1").display() == "https://host/r.git#v1");
  CHECK(parse("https://tokentoken@host/r.git").display() == "https://host/r.git");
  CHECK(parse("ssh://git:pw@host/r.git").display() == "ssh://git@host/r.git");
  CHECK(parse("git@host:r.git").display() == "git@host:r.git");
  CHECK(parse("https://h/a.tgz?v=1&X-Amz-Signature=abc&token=t").display() ==
        "https://h/a.tgz?v=1&X-Amz-Signature=[redacted]&token=[redacted]");
  CHECK(parse("https://h/a@b/c.git").display() == "https://h/a@b/c.git");
}

TEST_CASE("buildpack: what must be masked is named") {
  CHECK(parse("https://user:pa%40ss@host/r.git").secrets ==
        std::vector<std::string>{"pa%40ss", "pa@ss", "user"});
  CHECK(parse("https://h/a.tgz?token=abc").secrets == std::vector<std::string>{"abc"});
  CHECK(parse("ssh://git@host/r.git").secrets.empty());
}

TEST_CASE("buildpack: refusals say what to write instead") {
  CHECK(refusal("nodesj") ==
        "2 | buildpack 'nodesj': there is no built-in buildpack of that name | did you mean "
        "'nodejs'? A folder is written ./nodesj");
  CHECK(refusal("ruby") ==
        "2 | buildpack 'ruby': there is no built-in buildpack of that name | built in are elixir, "
        "nodejs, phoenix-static; the published one is heroku/ruby. A folder is written ./ruby");
  CHECK(refusal("heroku/nodejs@1.2")
            .find("2 | buildpack 'heroku/nodejs@1.2': a published buildpack "
                  "has no version here, it is always the latest") == 0);
  CHECK(refusal("heroku/nodejs#v1").find("always the latest") != std::string::npos);
  CHECK(refusal("a/b/c").find("a folder is written ./a/b/c") != std::string::npos);
  CHECK(
      refusal("ext://x/y").find("'ext://' is not supported | use https, http, git, ssh or file") !=
      std::string::npos);
  CHECK(refusal("https://user:secret@h/a b").find("secret") == std::string::npos);
  CHECK(refusal("").find("2 | buildpack '': the name is empty | a buildpack is") == 0);
  CHECK(refusal("https://host").find("the URL has no path") != std::string::npos);
  CHECK(refusal("https:///x").find("the URL has no host") != std::string::npos);
}

TEST_CASE("buildpack: nothing reaches git that it would take for an option (threat 13)") {
  for (const char* text : {"ssh://-oProxyCommand=x/r.git", "git@-oProxyCommand=x:r", "git@host:-x",
                           "--upload-pack=x", "https://host/r.git#--upload-pack=x", "ssh://u@-x/r",
                           "-x@host:r", "file:///-x", "https://host/r#a..b", "ssh://host/r\nx",
                           "https://-h/x", "https://h/r#a b", "ext::sh -c x", "host:path"})
    CHECK(refusal(text).find("2 | ") == 0);
}

TEST_CASE(".buildpacks: words, refs, comments (SRC-11)") {
  const BuildpacksFile file =
      parse_buildpacks_file("# ours\nhttps://h/a.git#v1  heroku/nodejs\r\n  elixir # why\n\n");
  std::vector<std::string> shown;
  for (const auto& entry : file.entries) shown.push_back(entry.pos.to_string() + " " + entry.text);
  CHECK(shown == std::vector<std::string>{".buildpacks:2:1 https://h/a.git#v1",
                                          ".buildpacks:2:21 heroku/nodejs",
                                          ".buildpacks:3:3 elixir"});
  std::string many;
  for (int i = 0; i < 101; ++i) many += "a\n";
  CHECK(error_of([&] { parse_buildpacks_file(many); }) ==
        "4 | .buildpacks:101:1: more than 100 buildpacks");
}
