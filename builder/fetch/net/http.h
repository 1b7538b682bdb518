// One download over HTTP(S) by libcurl, or a copy of a file:// file.
//
// The bytes are handed over only when they are complete and, with a checksum, verified. Network
// errors, 408, 429 and 5xx are tried again, from where the transfer broke off when the server can
// prove that it is still the same file. Redirects: at most 10, never from https to http, never to
// another kind of URL, and credentials stay with the origin they were given for (threat 14).
// Proxies come from the environment (http_proxy, https_proxy, no_proxy), the trusted CAs from
// SSL_CERT_FILE and CURL_CA_BUNDLE, else the system's bundle.
#pragma once

#include <functional>
#include <string>

#include "fetch/fetcher.h"

namespace slipway::netfetch {

using OnProgress = std::function<void(const std::string& what, uint64_t done, uint64_t total)>;

/// Writes the body to `output`, an empty file. The result's body stays empty. Throws
/// Error(outside); Error(usage) for a malformed URL or checksum.
fetch::HttpResult download(const fetch::HttpRequest& request, int output,
                           const OnProgress& on_progress);

}  // namespace slipway::netfetch
