// An answer to one request, as it goes to the client: status line, headers, and the body framed as
// the client's version of HTTP has it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "record/answer.h"
#include "record/wire.h"

namespace slipway::record {

class Reply {
 public:
  /// `version` is 10 or 11, as Beast counts.
  Reply(Wire& wire, const std::string& method, unsigned version, bool keep_alive)
      : wire_(wire),
        is_head_(method == "HEAD"),
        is_old_(version < 11),
        keeps_connection_(keep_alive) {}

  /// A whole answer or what was asked of it: ranges, conditions, HEAD. Throws Closed when the body
  /// breaks off, so that the client notices too.
  void send(Answer& answer, const Answer::Head& head, const Request& request);
  /// A text of ours.
  void refuse(int status, std::string_view text);

  /// A body that comes piece by piece; false when the client gets none.
  bool begin(int status, const Headers& headers, std::optional<uint64_t> length);
  void write(std::string_view data);
  void end();

  /// Another request may follow.
  bool keeps_connection() const { return keeps_connection_; }

 private:
  Wire& wire_;
  void send_now(std::string_view data);

  const bool is_head_, is_old_;
  bool keeps_connection_, chunked_ = false;
  /// The head waits for the body that is there already: one packet instead of two.
  bool holds_head_ = false;
  std::string held_;
};

}  // namespace slipway::record
