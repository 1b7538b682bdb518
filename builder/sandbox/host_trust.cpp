#include "sandbox/host_trust.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

constexpr size_t bundle_size_max = 16 << 20;
constexpr const char* begin_mark = "-----BEGIN CERTIFICATE-----";
constexpr const char* end_mark = "-----END CERTIFICATE-----";

constexpr const char* proxy_variables[] = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy",
                                           "no_proxy"};

std::string joined(const std::string& root, const std::string& path) {
  return root == "/" ? path : root + path;
}

std::optional<std::string> read_if_readable(const std::string& path) {
  try {
    return read_file_if_exists(path, bundle_size_max);
  } catch (const Error&) {
    return std::nullopt;  // a file that only others may read is none of ours
  }
}

/// Certificates that the distribution itself brings; empty when it keeps them in another form.
std::set<std::string> distribution_certificates(const std::string& root) {
  std::set<std::string> found;
  std::error_code error;
  const fs::path folder = joined(root, "/usr/share/ca-certificates");
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code type_error;
    if (!entry->is_regular_file(type_error)) continue;
    if (const auto text = read_if_readable(entry->path().string()))
      for (std::string& certificate : pem_certificates(*text)) found.insert(std::move(certificate));
  }
  return found;
}

/// Certificates that an administrator added, where the distribution's own are not kept as files.
std::vector<std::string> added_certificates(const std::string& root) {
  std::vector<std::string> found;
  for (const char* place :
       {"/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors",
        "/etc/pki/trust/anchors", "/etc/ca-certificates/trust-source/anchors"}) {
    std::error_code error;
    for (fs::recursive_directory_iterator entry(joined(root, place), error), end;
         !error && entry != end; entry.increment(error)) {
      std::error_code type_error;
      if (!entry->is_regular_file(type_error)) continue;
      if (const auto text = read_if_readable(entry->path().string()))
        for (std::string& certificate : pem_certificates(*text))
          found.push_back(std::move(certificate));
    }
  }
  return found;
}

}  // namespace

const std::vector<std::string>& bundle_paths() {
  static const std::vector<std::string> paths = {
      "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Alpine, Arch
      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL
      "/etc/pki/tls/certs/ca-bundle.crt",
      "/etc/ssl/ca-bundle.pem",  // openSUSE
      "/etc/ssl/cert.pem",       // Alpine
  };
  return paths;
}

std::vector<std::string> pem_certificates(std::string_view text) {
  std::vector<std::string> found;
  for (;;) {
    const size_t begin = text.find(begin_mark);
    if (begin == std::string_view::npos) return found;
    text.remove_prefix(begin + std::string_view(begin_mark).size());
    const size_t end = text.find(end_mark);
    if (end == std::string_view::npos) return found;
    std::string body(text.substr(0, end));
    std::erase_if(body, [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; });
    found.push_back(std::move(body));
    text.remove_prefix(end);
  }
}

HostTrust find_host_trust(const TrustSources& sources) {
  HostTrust trust;
  for (const std::string& path : bundle_paths()) {
    const auto text = read_if_readable(joined(sources.root, path));
    if (!text || text->empty()) continue;
    trust.bundle = *text;
    break;
  }
  std::vector<std::string> ours = pem_certificates(trust.bundle);
  std::set<std::string> known(ours.begin(), ours.end());
  const char* file = sources.get_env ? sources.get_env("SSL_CERT_FILE") : nullptr;
  if (file != nullptr && *file != '\0') {
    if (const auto text = read_if_readable(file)) {
      for (const std::string& certificate : pem_certificates(*text)) {
        if (!known.insert(certificate).second) continue;
        if (!trust.bundle.empty() && trust.bundle.back() != '\n') trust.bundle += '\n';
        trust.bundle += fmt::format("{}\n", begin_mark);
        for (size_t i = 0; i < certificate.size(); i += 64)
          trust.bundle += certificate.substr(i, 64) + "\n";
        trust.bundle += fmt::format("{}\n", end_mark);
        ++trust.extra_count;
      }
    }
  }
  const std::set<std::string> standard = distribution_certificates(sources.root);
  if (!standard.empty()) {
    trust.extra_count += static_cast<size_t>(std::count_if(
        ours.begin(), ours.end(), [&](const std::string& one) { return !standard.contains(one); }));
  } else {
    for (const std::string& certificate : added_certificates(sources.root))
      trust.extra_count += known.contains(certificate) ? 1 : 0;
  }
  trust.extra = trust.extra_count > 0;
  if (trust.extra && read_if_readable(joined(sources.root, java_cacerts_path)))
    trust.java_cacerts = java_cacerts_path;
  return trust;
}

const HostTrust& host_trust() {
  static const HostTrust trust =
      find_host_trust({"/", [](const char* name) -> const char* { return std::getenv(name); }});
  return trust;
}

std::vector<std::pair<std::string, std::string>> host_trust_env(graph::Network network,
                                                                const HostTrust& trust,
                                                                const TrustSources& sources) {
  std::vector<std::pair<std::string, std::string>> env;
  if (network == graph::Network::none) return env;
  if (trust.extra)
    for (const char* name : trust_variables) env.emplace_back(name, step_bundle_path);
  for (const char* name : proxy_variables) {
    std::string upper = name;
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](char c) { return static_cast<char>(std::toupper(c)); });
    for (const std::string& spelling : {std::string(name), upper}) {
      const char* value = sources.get_env ? sources.get_env(spelling.c_str()) : nullptr;
      if (value != nullptr && *value != '\0') env.emplace_back(spelling, value);
    }
  }
  return env;
}

std::vector<std::pair<std::string, std::string>> host_trust_env(graph::Network network) {
  if (network == graph::Network::none) return {};
  return host_trust_env(network, host_trust(),
                        {"/", [](const char* name) -> const char* { return std::getenv(name); }});
}

std::string filter_resolv_conf(std::string_view text) {
  std::string result;
  size_t servers = 0;
  for (const std::string& line : split(text, '\n')) {
    const std::string_view word = trim(line);
    if (word.empty() || word[0] == '#' || word[0] == ';') continue;
    if (starts_with(word, "nameserver")) {
      const std::string_view address = trim(word.substr(10));
      if (starts_with(address, "127.") || address == "::1" || starts_with(address, "fe80:"))
        continue;
      ++servers;
    }
    result += fmt::format("{}\n", word);
  }
  return servers > 0 ? result : std::string();
}

std::string host_resolv_conf(const std::string& root) {
  const std::string text = read_if_readable(joined(root, "/etc/resolv.conf")).value_or("");
  if (text.find("nameserver 127.0.0.53") == std::string::npos) return text;
  return read_if_readable(joined(root, "/run/systemd/resolve/resolv.conf")).value_or(text);
}

}  // namespace slipway::sandbox
