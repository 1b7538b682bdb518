#include "buildpack/pipeline.h"

using namespace slipway;
using namespace slipway::buildpack;

namespace {

graph::NodeRef local(const std::string& name) {
  return graph::Node::make(graph::LocalOp{name});
}

PipelineSpec two_packs() {
  PipelineSpec spec;
  spec.root = graph::Node::make(graph::ImageOp{"stack:debian-12/build"});
  spec.source = local("source");
  spec.units = {{"01-a", "a", local("a"), {}}, {"02-b", "b", local("b"), {}}};
  spec.build_hex = "0123abcd";
  spec.stack = "heroku-22";
  spec.config_names = {"KEY"};
  return spec;
}

const graph::ExecOp& exec(const graph::NodeRef& node) {
  return std::get<graph::ExecOp>(node->op());
}

}  // namespace

TEST_CASE("steps follow one another: detect, compile, detect, compile, release, seal") {
  const Pipeline pipeline = make_pipeline(two_packs());
  REQUIRE(pipeline.steps.size() == 2);
  CHECK(pipeline.steps[0].detect->inputs()[1] == pipeline.workspace);
  CHECK(pipeline.steps[0].compile->inputs()[1] == pipeline.steps[0].detect);
  CHECK(pipeline.steps[1].detect->inputs()[1] == pipeline.steps[0].compile);
  CHECK(pipeline.release->inputs()[1] == pipeline.steps[1].compile);
  CHECK(pipeline.seal->inputs()[0] == pipeline.release);
}

TEST_CASE("a compile gets three absolute paths and the contract's environment (CMP-1, FS-1)") {
  const Pipeline pipeline = make_pipeline(two_packs());
  const graph::ExecOp& op = exec(pipeline.steps[0].compile);
  REQUIRE(op.argv.size() == 7);
  CHECK(op.argv[4] == "/tmp/build_0123abcd");
  CHECK(op.argv[5] == "/tmp/codon/tmp/cache");
  CHECK(op.argv[6] == "/tmp/codon/tmp/env");
  std::string names;
  for (const auto& [name, value] : op.env) names += name + " ";
  CHECK(names == "PATH HOME STACK SOURCE_VERSION REQUEST_ID DYNO BUILDPACK_LOG_FILE ");
  CHECK(op.config_names == std::vector<std::string>{"KEY"});
}

TEST_CASE("detect gets one argument and no config (DET-1, DET-3)") {
  const Pipeline pipeline = make_pipeline(two_packs());
  const graph::ExecOp& op = exec(pipeline.steps[1].detect);
  CHECK(op.argv.size() == 5);
  CHECK(op.config_names.empty());
  CHECK(op.argv[2].find("export") == std::string::npos);
}

TEST_CASE("later packs source earlier exports at top level, in order (EXP-1, EXP-3)") {
  PipelineSpec spec = two_packs();
  spec.units.push_back({"03-c", "c", local("c"), {}});
  CHECK(compile_script(spec, 0) ==
        "cd /tmp/codon/tmp/buildpacks/01-a && exec 9>&2 2>/dev/null && "
        "/tmp/codon/tmp/buildpacks/01-a/bin/compile \"$@\" 2>&9 9>&-; exit $?");
  CHECK(compile_script(spec, 2) ==
        "if [ -f /tmp/codon/tmp/buildpacks/01-a/export ]; then . "
        "/tmp/codon/tmp/buildpacks/01-a/export; fi\n"
        "if [ -f /tmp/codon/tmp/buildpacks/02-b/export ]; then . "
        "/tmp/codon/tmp/buildpacks/02-b/export; fi\n"
        "cd /tmp/codon/tmp/buildpacks/03-c && exec 9>&2 2>/dev/null && "
        "/tmp/codon/tmp/buildpacks/03-c/bin/compile \"$@\" 2>&9 9>&-; exit $?");
  CHECK(exec(make_pipeline(spec).release).argv[2].find("export") == std::string::npos);
}

TEST_CASE("pack folders hold nothing a script could trip over (CMP-1)") {
  CHECK(unit_folder(0, "https://github.com/HashNuke/heroku-buildpack-elixir.git#a/b") ==
        "01-heroku-buildpack-elixir");
  CHECK(unit_folder(9, "heroku/nodejs") == "10-nodejs");
  CHECK(unit_folder(1, "./my pack #1/") == "02-my_pack_");
  CHECK(unit_folder(0, "///") == "01-pack");
}

TEST_CASE("stack value, source version and the packs' order are part of the key") {
  const Pipeline base = make_pipeline(two_packs());
  PipelineSpec other = two_packs();
  other.stack = "heroku-24";
  CHECK(make_pipeline(other).seal->digest() != base.seal->digest());
  other = two_packs();
  other.source_version = "abc";
  CHECK(make_pipeline(other).seal->digest() != base.seal->digest());
  other = two_packs();
  std::swap(other.units[0].source, other.units[1].source);
  CHECK(make_pipeline(other).seal->digest() != base.seal->digest());
}

TEST_CASE("which app's cache is restored and the time limit are no inputs") {
  PipelineSpec one = two_packs(), two = two_packs();
  one.cache_id = "one";
  two.cache_id = "two";
  two.timeout = std::chrono::minutes(1);
  CHECK(make_pipeline(one).seal->digest() == make_pipeline(two).seal->digest());
}
