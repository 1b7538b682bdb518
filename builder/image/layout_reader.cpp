#include "image/layout_reader.h"

#include <set>

#include "base/error.h"
#include "base/text.h"
#include "image/layout.h"

namespace slipway::image {
namespace {

constexpr int depth_max = 4;
constexpr size_t names_shown_max = 10;

std::string annotation(const oci::Descriptor& entry, const char* name) {
  const auto found = entry.annotations.find(name);
  return found == entry.annotations.end() ? std::string() : found->second;
}

// The canonical form, if it is a reference at all.
std::string canonical(const std::string& name) {
  try {
    return oci::parse_reference(name).canonical();
  } catch (const Error&) {
    return {};
  }
}

bool has_name(const oci::Descriptor& entry, const std::string& wanted) {
  if (entry.digest == wanted || annotation(entry, tag_annotation) == wanted) return true;
  const std::string full = canonical(wanted);
  if (full.empty()) return false;
  for (const char* name : {full_name_annotation, tag_annotation}) {
    const std::string value = annotation(entry, name);
    if (!value.empty() && canonical(value) == full) return true;
  }
  return false;
}

std::string names_of(const oci::Index& index) {
  std::vector<std::string> names;
  for (const oci::Descriptor& entry : index.manifests) {
    std::string name = annotation(entry, full_name_annotation);
    if (name.empty()) name = annotation(entry, tag_annotation);
    if (name.empty()) name = entry.digest;
    names.push_back(printable(name));
    if (names.size() == names_shown_max) {
      names.emplace_back("…");
      break;
    }
  }
  return join(names, ", ");
}

// The entries of index.json that are meant.
oci::Index choose(const oci::Index& index, const std::string& wanted) {
  oci::Index chosen = index;
  if (!wanted.empty()) {
    std::erase_if(chosen.manifests,
                  [&](const oci::Descriptor& entry) { return !has_name(entry, wanted); });
    if (chosen.manifests.empty())
      throw Error(ExitCode::outside, fmt::format("there is no image '{}'", printable(wanted)))
          .set_hint(index.manifests.empty() ? "the layout is empty" : "it has " + names_of(index));
    return chosen;
  }
  // One image under several names is one image; the platforms of one are told apart later.
  std::set<std::string> names;
  for (const oci::Descriptor& entry : index.manifests) {
    const std::string name =
        annotation(entry, full_name_annotation) + '\n' + annotation(entry, tag_annotation);
    names.insert(name == "\n" && entry.platform ? std::string() : entry.digest);
  }
  if (names.size() > 1)
    throw Error(ExitCode::outside, "there is more than one image")
        .set_hint("name one of them after the path and a ':': " + names_of(index));
  return chosen;
}

std::string read_blob(const ReadDocument& read, const oci::Descriptor& descriptor) {
  std::string text = read(blob_place(descriptor.digest));
  if (text.size() != descriptor.size_bytes || "sha256:" + sha256_hex(text) != descriptor.digest)
    fail(ExitCode::outside, "{} does not have its digest and size", descriptor.digest);
  return text;
}

}  // namespace

FoundImage find_in_layout(const ReadDocument& read, const std::string& wanted,
                          const oci::Platform& platform) {
  const oci::Document top = oci::parse_document(read(index_file));
  if (!top.index) fail(ExitCode::outside, "index.json is a manifest, not an index");
  oci::Index index = choose(*top.index, wanted);
  for (int depth = 0; depth < depth_max; ++depth) {
    const oci::Descriptor* entry = oci::pick_platform(index, platform);
    if (entry == nullptr) {
      Error error(ExitCode::outside, "there is no image for " + platform.to_string());
      const std::string offered = oci::platforms_text(index);
      if (!offered.empty()) error.set_hint("it is there for " + offered);
      throw error;
    }
    FoundImage found;
    found.manifest = read_blob(read, *entry);
    oci::Document document = oci::parse_document(found.manifest, entry->media_type);
    if (document.manifest) {
      found.config = read_blob(read, document.manifest->config);
      return found;
    }
    index = std::move(*document.index);
  }
  fail(ExitCode::outside, "indexes are nested more than {} deep", depth_max);
}

}  // namespace slipway::image
