#include "fetch/wire.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "base/files.h"

namespace slipway::fetch {

Json to_wire(const RegistrySettings& settings) {
  return {{"insecure", settings.insecure},
          {"mirrors", settings.mirrors},
          {"token_hosts", settings.token_hosts},
          {"parallel", settings.parallel},
          {"retries", settings.retries},
          {"retry_delay_ms", settings.retry_delay.count()},
          {"stall_limit_s", settings.stall_limit.count()}};
}

RegistrySettings settings_from_wire(const Json& json) {
  RegistrySettings settings;
  json.at("insecure").get_to(settings.insecure);
  json.at("mirrors").get_to(settings.mirrors);
  json.at("token_hosts").get_to(settings.token_hosts);
  json.at("parallel").get_to(settings.parallel);
  json.at("retries").get_to(settings.retries);
  settings.retry_delay = std::chrono::milliseconds(json.at("retry_delay_ms").get<int64_t>());
  settings.stall_limit = std::chrono::seconds(json.at("stall_limit_s").get<int64_t>());
  return settings;
}

Json to_wire(const oci::Reference& reference) {
  return {{"domain", reference.domain},
          {"path", reference.path},
          {"tag", reference.tag},
          {"digest", reference.digest}};
}

oci::Reference reference_from_wire(const Json& json) {
  return {json.at("domain"), json.at("path"), json.at("tag"), json.at("digest")};
}

Json to_wire(const oci::Descriptor& descriptor) {
  return {{"media_type", descriptor.media_type},
          {"digest", descriptor.digest},
          {"size", descriptor.size_bytes},
          {"urls", descriptor.urls}};
}

oci::Descriptor descriptor_from_wire(const Json& json) {
  oci::Descriptor descriptor;
  json.at("media_type").get_to(descriptor.media_type);
  json.at("digest").get_to(descriptor.digest);
  json.at("size").get_to(descriptor.size_bytes);
  json.at("urls").get_to(descriptor.urls);
  return descriptor;
}

Fd nameless_file(const std::string& folder) {
  const std::string where = folder.empty() ? fs::temp_directory_path().string() : folder;
  Fd file(open(where.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
    fail_errno("create a temporary file in {}", where);
  // A filesystem without O_TMPFILE.
  std::string name = where + "/fetch-XXXXXX";
  file = Fd(mkostemp(name.data(), O_CLOEXEC));
  if (!file) fail_errno("create a temporary file in {}", where);
  if (unlink(name.c_str()) != 0) fail_errno("unlink {}", name);
  return file;
}

}  // namespace slipway::fetch
