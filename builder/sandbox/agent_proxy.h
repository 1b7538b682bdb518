// Leads a step's connections on to an agent of the user's (dockerfile.md R9): the parent, who the
// agent answers to, accepts on the socket the step sees and passes bytes both ways.
#pragma once

#include <string>
#include <thread>

#include "base/fd.h"

namespace slipway::sandbox {

class AgentProxy {
 public:
  /// `listener` is what the step connects to, `target` the agent's socket on the host.
  AgentProxy(Fd listener, std::string target);
  /// Ends all connections.
  ~AgentProxy();
  AgentProxy(const AgentProxy&) = delete;
  AgentProxy& operator=(const AgentProxy&) = delete;

 private:
  void run();
  Fd listener_;
  std::string target_;
  Pipe stop_;
  std::thread thread_;
};

}  // namespace slipway::sandbox
