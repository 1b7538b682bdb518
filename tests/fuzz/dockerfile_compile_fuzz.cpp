// links: dockerfile
#include "dockerfile/compile.h"
#include "target.h"

using namespace slipway;

namespace {

dockerfile::Options options_for(std::string_view text) {
  dockerfile::Options options;
  options.build_platform = {"linux", "amd64", "", ""};
  options.context = graph::Node::make(graph::LocalOp{.name = "context"});
  options.build_args = {{"A", "a"}, {"SECRET", "s"}, {"http_proxy", "p"}};
  options.hidden_args = {{"SECRET", "<hidden>"}};
  options.contexts["ctx"] = {dockerfile::NamedContext::Kind::local, "dir"};
  options.all_stages = text.size() % 2 == 0;
  options.several_platforms = text.size() % 3 == 0;
  if (text.size() % 5 == 0) options.source_date_epoch = 1;
  return options;
}

// Every layer has its history, every step comes after what it needs.
void check(const dockerfile::Compiled& compiled) {
  size_t layers = 0;
  for (const oci::History& entry : compiled.config.history) layers += entry.empty_layer ? 0 : 1;
  demand(layers <= compiled.layers.size() + compiled.config.diff_ids.size());
  demand(compiled.layers.empty() || compiled.layers.back() == compiled.root);
  if (compiled.root) graph::topological_order(compiled.root);
  oci::parse_image_config(oci::serialize_image_config(compiled.config));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const dockerfile::Dockerfile file = dockerfile::parse(text, "Dockerfile");
    dockerfile::Options options = options_for(text);
    // A trigger of a base is foreign text too: the file's own last line serves as one.
    oci::ImageConfig config = oci::scratch_config(options.build_platform);
    config.diff_ids = {"sha256:" + std::string(64, 'a')};
    config.config.on_build = {std::string(text.substr(text.rfind('\n', text.size() - 2) + 1))};
    for (int round = 0; round < 8; ++round) {
      const auto result = dockerfile::compile(file, options);
      if (const auto* compiled = std::get_if<dockerfile::Compiled>(&result))
        return check(*compiled);
      for (const dockerfile::BaseRequest& base : std::get<dockerfile::Missing>(result).bases)
        options.bases[base] = {base.reference, config};
    }
    demand(false);
  });
  return 0;
}
