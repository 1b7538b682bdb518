// TLS of one registry: docker's and skopeo's folders of certificates (dockerfile.md N8).
#pragma once

#include <string>

#include "netfetch/connection.h"

namespace slipway::netfetch {

/// The first folder <domain>/ that exists below containers/certs.d and docker/certs.d of
/// $XDG_CONFIG_HOME (else ~/.config), then of /etc, says more than the environment: its *.crt are
/// trusted besides all others, a *.cert with the *.key of the same name is shown. A *.cert without
/// its *.key is an Error(machine), as with docker.
Trust trust_for(const std::string& domain);

}  // namespace slipway::netfetch
