#include "dockerfile/outside.h"

#include "base/error.h"
#include "dockerfile/keyword.h"
#include "dockerfile/remote.h"
#include "oci/reference.h"

namespace slipway::dockerfile {
namespace {

// One spelling of all that mean the same image; a stage's name stays.
std::string normalized(const std::string& name) {
  try {
    const oci::Reference reference = oci::parse_reference(name);
    std::string text = reference.familiar_name();
    if (!reference.tag.empty() && reference.tag != "latest") text += ":" + reference.tag;
    if (!reference.digest.empty()) text += "@" + reference.digest;
    return text;
  } catch (const Error&) {
    return lower_case(name);
  }
}

// Only who starts the build may point at layouts, archives and stacks of this machine: a Dockerfile
// may come from anywhere (threat 24).
bool is_local_image(const std::string& text) {
  for (const char* scheme : {"oci:", "oci-archive:", "docker-archive:", "stack:"})
    if (text.starts_with(scheme) && text.find('/') != std::string::npos) return true;
  return false;
}

// A URL as a context: an archive is unpacked, anything else is a file (P4).
graph::NodeRef http_tree(const std::string& url) {
  graph::HttpOp http;
  http.url = url;
  http.filename = "context";
  http.mode = 0600;
  http.last_modified = true;
  const std::string title = "context " + shown_url(url);
  const graph::NodeRef file = graph::Node::make(http, {}, {.title = title});
  graph::FileAction unpack;
  unpack.source_input = 0;
  unpack.source = "/context";
  unpack.dest = "/";
  unpack.allow_wildcard = false;
  unpack.allow_empty_wildcard = false;
  unpack.unpack = true;
  return graph::Node::make(graph::FileOp{{unpack}, true}, {file}, {.title = title});
}

graph::NodeRef git_tree(const std::string& url) {
  const std::optional<GitSource> source = parse_git_source(url);
  if (!source)
    throw Error(ExitCode::usage, fmt::format("'{}' is no git repository", shown_url(url)));
  return graph::Node::make(source->op, {}, {.title = "context " + shown_url(url)});
}

}  // namespace

Outside::Outside(const Options& options) : options_(options) {
  for (const auto& [key, context] : options.contexts) {
    const size_t mark = key.find("::");
    std::string platform;
    if (mark != std::string::npos)
      platform = oci::parse_platform(key.substr(mark + 2), options.build_platform).to_full_string();
    contexts_[{normalized(key.substr(0, mark)), platform}] = &context;
  }
}

const NamedContext* Outside::context(const std::string& name, const oci::Platform& platform) const {
  const std::string lower = lower_case(name);
  if (contexts_.empty() || lower == "scratch" || lower == "context") return nullptr;
  const std::string key = normalized(name);
  auto found = contexts_.find({key, platform.to_full_string()});
  if (found == contexts_.end()) found = contexts_.find({key, ""});
  return found == contexts_.end() ? nullptr : found->second;
}

Resolved Outside::image(const std::string& reference, const oci::Platform& platform) {
  Resolved resolved;
  resolved.image = BaseRequest{reference, platform};
  const auto found = options_.bases.find(*resolved.image);
  if (found == options_.bases.end())
    missing_.insert(*resolved.image);
  else
    resolved.base = &found->second;
  return resolved;
}

Resolved Outside::resolve(const std::string& name, const oci::Platform& platform) {
  if (name == "scratch") return {};
  if (const NamedContext* named = context(name, platform)) return resolve(*named, platform);
  return image(oci::parse_reference(name).canonical(), platform);
}

Resolved Outside::resolve(const NamedContext& context, const oci::Platform& platform) {
  Resolved resolved;
  switch (context.kind) {
    case NamedContext::Kind::image:
    case NamedContext::Kind::oci_layout:
      if (context.value == "scratch") return resolved;
      if (is_local_image(context.value)) return image(context.value, platform);
      return image(oci::parse_reference(context.value).canonical(), platform);
    case NamedContext::Kind::local:
      local_contexts_.insert(context.value);
      resolved.tree = graph::Node::make(graph::LocalOp{.name = context.value}, {},
                                        {.title = "context " + context.value});
      return resolved;
    case NamedContext::Kind::git:
      resolved.tree = git_tree(context.value);
      return resolved;
    case NamedContext::Kind::http:
      resolved.tree = http_tree(context.value);
      return resolved;
  }
  throw std::logic_error("a named context of no kind");
}

}  // namespace slipway::dockerfile
