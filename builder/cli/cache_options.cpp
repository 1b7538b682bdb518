#include "cli/cache_options.h"

#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "oci/reference.h"

namespace slipway::cli {
namespace {

using Fields = std::map<std::string, std::string>;

constexpr size_t scope_max = 128;

/// buildx's kinds that are not here.
struct Refused {
  const char* type;
  const char* why;
  const char* instead;
};
constexpr Refused refused[] = {
    {"gha", "it is one CI's own protocol",
     "`slipway cache export FILE` and `slipway cache import FILE` around that CI's cache step, or "
     "type=registry,ref=…"},
    {"inline", "an image holds nothing but itself", "type=registry,ref=IMAGE:cache beside it"},
    {"s3", "object stores are not spoken to", "type=local,dest=DIR, copied there by its own tool"},
    {"azblob", "object stores are not spoken to",
     "type=local,dest=DIR, copied there by its own tool"},
};

class Place {
 public:
  Place(const char* flag, const std::string& text, bool writes)
      : flag_(flag), text_(text), writes_(writes) {}

  build::CachePlace parsed() {
    read_fields();
    build::CachePlace place;
    const std::string type = take("type");
    for (const Refused& one : refused)
      if (type == one.type)
        throw Error(ExitCode::usage,
                    fmt::format("{} type={} is not taken: {}", flag_, type, one.why))
            .set_hint(one.instead);
    if (type == "registry") {
      place.where = needed("ref");
      place.where = oci::parse_reference(place.where).canonical();
      if (writes_ && oci::parse_reference(place.where).tag.empty())
        refuse("a digest cannot be written to; name a tag");
    } else if (type == "local") {
      place.kind = build::CachePlace::Kind::local;
      place.where =
          std::filesystem::absolute(needed(writes_ ? "dest" : "src")).lexically_normal().string();
      if (const std::string tag = take("tag"); !tag.empty()) place.tag = tag;
      if (!oci::is_tag(place.tag)) refuse(fmt::format("'{}' is no tag", printable(place.tag)));
      if (!writes_) place.digest = take("digest");
      if (!place.digest.empty() && !oci::is_digest(place.digest)) refuse("its digest is none");
    } else {
      throw Error(ExitCode::usage,
                  type.empty() ? fmt::format("{} {}: type= is missing", flag_, printable(text_))
                               : fmt::format("{} type={}: unknown", flag_, printable(type)))
          .set_hint("registry and local are known");
    }
    place.scope = take("scope");
    if (place.scope.size() > scope_max || printable(place.scope) != place.scope)
      refuse("its scope is too long, or not printable");
    if (writes_) read_writing(place);
    if (!fields_.empty())
      throw Error(ExitCode::usage, fmt::format("{} {}: unknown field '{}'", flag_, printable(text_),
                                               printable(fields_.begin()->first)))
          .set_hint(writes_
                        ? "known are type, ref, dest, tag, scope, mode, compression, ignore-error"
                        : "known are type, ref, src, tag, digest, scope");
    return place;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    fail(ExitCode::usage, "{} {}: {}", flag_, printable(text_), why);
  }

  void read_fields() {
    // As buildx has it: a bare reference is a registry's.
    if (text_.find('=') == std::string::npos) {
      fields_ = {{"type", "registry"}, {"ref", text_}};
      return;
    }
    for (const std::string& part : split(text_, ',')) {
      const size_t equals = part.find('=');
      if (equals == 0 || equals == std::string::npos)
        refuse(fmt::format("'{}' is no NAME=VALUE", printable(part)));
      fields_[part.substr(0, equals)] = part.substr(equals + 1);
    }
  }

  std::string take(const char* name) {
    const auto found = fields_.find(name);
    if (found == fields_.end()) return {};
    std::string value = std::move(found->second);
    fields_.erase(found);
    return value;
  }
  std::string needed(const char* name) {
    std::string value = take(name);
    if (value.empty()) refuse(fmt::format("{}= is missing", name));
    return value;
  }
  bool flag(const char* name, bool fallback) {
    const std::string value = take(name);
    if (value.empty()) return fallback;
    if (value != "true" && value != "false") refuse(fmt::format("{} is true or false", name));
    return value == "true";
  }

  void read_writing(build::CachePlace& place) {
    const std::string mode = take("mode");
    if (!mode.empty() && mode != "min" && mode != "max") refuse("mode is min or max");
    place.max = mode == "max";
    place.ignore_error = flag("ignore-error", false);
    const std::string compression = take("compression");
    if (compression == "zstd")
      place.codec = archive::Codec::zstd;
    else if (compression == "uncompressed")
      place.codec = archive::Codec::stored;
    else if (!compression.empty() && compression != "gzip")
      refuse("compression is gzip, zstd or uncompressed");
    // What a cache is here anyway.
    for (const char* name : {"oci-mediatypes", "image-manifest"})
      if (!flag(name, true)) refuse(fmt::format("{} is always true", name));
  }

  const char* flag_;
  const std::string& text_;
  const bool writes_;
  Fields fields_;
};

}  // namespace

build::CachePlace parse_cache_from(const std::string& text) {
  return Place("--cache-from", text, false).parsed();
}
build::CachePlace parse_cache_to(const std::string& text) {
  return Place("--cache-to", text, true).parsed();
}

void CacheOptions::declare(CLI::App& app) {
  app.add_option("--cache-from", from,
                 "use results of a remote cache: type=registry,ref=REF or type=local,src=DIR")
      ->type_name("SPEC")
      ->allow_extra_args(false);
  app.add_option(
         "--cache-to", to,
         "write results to one: type=registry,ref=REF or type=local,dest=DIR; mode=min|max,\n"
         "scope=NAME, ignore-error=true")
      ->type_name("SPEC")
      ->allow_extra_args(false);
}

void CacheOptions::apply(build::BuildRequest& request) const {
  for (const std::string& text : from) request.cache_from.push_back(parse_cache_from(text));
  for (const std::string& text : to) request.cache_to.push_back(parse_cache_to(text));
}

}  // namespace slipway::cli
