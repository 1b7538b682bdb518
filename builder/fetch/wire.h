// How slipway and slipway-fetch talk about registries: values as JSON, and messages on the channel,
// a SOCK_SEQPACKET socket whose datagrams carry descriptors.
//
//   slipway-fetch → slipway
//     {"document": "index"|"manifest"|"config", "descriptor": {…}} + 1 file   resolve
//     {"blob": N} + 1 file, complete and verified                           pull
//     {"want": N}                                                           push: blob N, please
//     {"short": N}                                                          push: N ended early
//   slipway → slipway-fetch
//     {"blob": N} + 1 file (offset 0) or pipe                               push, answers "want"
//
// N is a place in the request's list of blobs.
#pragma once

#include "base/json.h"
#include "fetch/registry.h"

namespace slipway::fetch {

// Reading throws Json::exception for what is missing or of another type: the two programs come from
// one build.
Json to_wire(const RegistrySettings& settings);
Json to_wire(const oci::Reference& reference);
Json to_wire(const oci::Descriptor& descriptor);
RegistrySettings settings_from_wire(const Json& json);
oci::Reference reference_from_wire(const Json& json);
oci::Descriptor descriptor_from_wire(const Json& json);

/// A file in `folder` (empty: the system's temporary folder) that goes when it is closed.
Fd nameless_file(const std::string& folder);

}  // namespace slipway::fetch
