#include "sandbox/protocol.h"

namespace slipway::sandbox {
namespace {

WireError to_wire(const std::exception& thrown) {
  WireError wire;
  if (const auto* error = dynamic_cast<const Error*>(&thrown)) {
    wire.code = static_cast<int>(error->code());
    wire.cause = error->cause();
    wire.hint = error->hint();
    wire.context = error->context();
  } else {
    wire.cause = thrown.what();
  }
  return wire;
}

}  // namespace

bool reply_errors(int channel, const std::function<void()>& work) noexcept {
  try {
    try {
      work();
      return true;
    } catch (const std::exception& thrown) {
      send_message(channel, message(Reply::error, to_wire(thrown)));
    }
  } catch (...) {
    // The parent is gone; there is nobody left to tell.
  }
  return false;
}

Decoder read_reply(int channel, std::string& text, std::vector<Fd>* fds, Reply* kind) {
  std::vector<Fd> received;
  if (!receive_message(channel, text, received))
    throw Error(ExitCode::machine, "the sandbox's worker ended unexpectedly")
        .set_hint("if the machine ran out of memory, give it more or run fewer builds at once");
  Decoder decoder(text);
  const auto tag = decoder.next<Reply>();
  if (tag == Reply::error) {
    const auto wire = decoder.next<WireError>();
    if (wire.code == static_cast<int>(ExitCode::bug)) throw std::logic_error(wire.cause);
    Error error(static_cast<ExitCode>(wire.code), wire.cause);
    for (const std::string& doing : wire.context) error.add_context(doing);
    if (!wire.hint.empty()) error.set_hint(wire.hint);
    throw error;
  }
  if (kind != nullptr) *kind = tag;
  if (fds != nullptr) *fds = std::move(received);
  return decoder;
}

}  // namespace slipway::sandbox
