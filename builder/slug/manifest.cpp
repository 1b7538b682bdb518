#include "base/error.h"
#include "slug/slug.h"

namespace slipway::slug {
namespace {

// The Platform API says null where it knows nothing; so do we.
Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

// Reads one field of a manifest; absent and null are the default, another type is an error.
class Fields {
 public:
  Fields(const Json& value, std::string where) : value_(value), where_(std::move(where)) {
    if (!value.is_object()) fail(ExitCode::app_files, "{} is no object", where_);
  }

  const Json* find(const char* name) const {
    const auto found = value_.find(name);
    return found == value_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string text(const char* name) const {
    const Json* field = find(name);
    if (field == nullptr) return {};
    if (!field->is_string()) wrong(name, "text");
    return field->get<std::string>();
  }
  uint64_t size(const char* name) const {
    const Json* field = find(name);
    if (field == nullptr) return 0;
    if (!field->is_number_unsigned()) wrong(name, "a size in bytes");
    return field->get<uint64_t>();
  }
  int64_t number(const char* name) const {
    const Json* field = find(name);
    if (field == nullptr) return 0;
    if (!field->is_number_integer()) wrong(name, "a whole number");
    return field->get<int64_t>();
  }
  [[noreturn]] void wrong(const char* name, const char* expected) const {
    fail(ExitCode::app_files, "{}: '{}' must be {}", where_, name, expected);
  }

 private:
  const Json& value_;
  std::string where_;
};

}  // namespace

Json Manifest::to_json() const {
  Json packs = Json::array();
  for (const BuildpackInfo& pack : buildpacks)
    packs.push_back({{"name", pack.name},
                     {"description", text_or_null(pack.detected)},
                     {"url", text_or_null(pack.url)},
                     {"commit", text_or_null(pack.commit)},
                     {"digest", text_or_null(pack.digest)}});
  Json types = Json::object();
  for (const auto& [type, command] : process_types) types[type] = command;
  return {
      {"buildpack_provided_description", text_or_null(buildpack_provided_description)},
      {"checksum", text_or_null(checksum)},
      {"commit", text_or_null(commit)},
      {"commit_description", text_or_null(commit_description)},
      {"process_types", std::move(types)},
      {"size", size_bytes},
      {"stack", {{"name", stack}}},
      {"app", text_or_null(app)},
      {"buildpacks", std::move(packs)},
      {"raw_size", raw_size_bytes},
      {"compressor", text_or_null(compressor)},
      {"isolation", text_or_null(isolation)},
      {"source_time", source_time},
  };
}

Manifest Manifest::from_json(const Json& value) {
  const Fields fields(value, "slug manifest");
  Manifest manifest;
  manifest.app = fields.text("app");
  manifest.commit = fields.text("commit");
  manifest.commit_description = fields.text("commit_description");
  manifest.buildpack_provided_description = fields.text("buildpack_provided_description");
  manifest.checksum = fields.text("checksum");
  manifest.size_bytes = fields.size("size");
  manifest.raw_size_bytes = fields.size("raw_size");
  manifest.compressor = fields.text("compressor");
  manifest.isolation = fields.text("isolation");
  manifest.source_time = fields.number("source_time");
  if (const Json* stack = fields.find("stack")) {
    // The API takes a name and answers with an object.
    manifest.stack = stack->is_object() ? Fields(*stack, "slug manifest: 'stack'").text("name")
                                        : fields.text("stack");
  }
  if (const Json* types = fields.find("process_types")) {
    if (!types->is_object()) fields.wrong("process_types", "an object");
    for (const auto& [type, command] : types->items()) {
      if (!command.is_string())
        fail(ExitCode::app_files, "slug manifest: process type '{}' must be text", type);
      manifest.process_types[type] = command.get<std::string>();
    }
  }
  if (const Json* packs = fields.find("buildpacks")) {
    if (!packs->is_array()) fields.wrong("buildpacks", "a list");
    for (const Json& pack : *packs) {
      const Fields one(pack, "slug manifest: a buildpack");
      manifest.buildpacks.push_back({.name = one.text("name"),
                                     .detected = one.text("description"),
                                     .url = one.text("url"),
                                     .commit = one.text("commit"),
                                     .digest = one.text("digest")});
    }
  }
  return manifest;
}

}  // namespace slipway::slug
