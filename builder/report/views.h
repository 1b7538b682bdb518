// The views: each draws the event stream its own way. See docs/events.md for the JSON form.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "report/event.h"

namespace slipway::report {

using Clock = std::function<std::chrono::steady_clock::time_point()>;
/// Milliseconds since 1970, for records.
using WallClock = std::function<int64_t()>;
std::chrono::steady_clock::time_point steady_now();
int64_t wall_now_ms();

/// `--progress NAME`: "auto" (tty on a terminal, else plain), "tty" (plain where there is no
/// terminal or TERM is dumb), "plain", "heroku", "json". `fd` is borrowed. With `explain` every
/// step that ran says which input made it run. Throws Error(usage) for another name.
std::shared_ptr<View> make_view(const std::string& name, int fd, bool explain = false);

/// The exact transcript of heroku.md §6: notices and what the steps print, byte for byte; steps and
/// progress are not shown.
std::shared_ptr<View> make_heroku_view(int fd, bool explain = false);

/// For CI logs: the transcript plus a line for each step with its time or "cached", what takes
/// long, and the closing lines. Steps that run side by side never mix: one has the floor, the
/// others' output waits for it.
std::shared_ptr<View> make_plain_view(int fd, bool explain = false, Clock clock = steady_now);

/// A live display: what is finished scrolls by as in the plain view; the bottom line shows the
/// time, the running step and bytes. Survives resizing, output without a newline, and colours left
/// on.
std::shared_ptr<View> make_tty_view(int fd, bool explain = false, Clock clock = steady_now);

/// One JSON object per line and event.
std::shared_ptr<View> make_json_view(int fd, WallClock clock = wall_now_ms);

/// The full log of a build in a file (0600, its folder must exist), never clipped: the plain view
/// with every step's reason, and at the end error and hint.
std::shared_ptr<View> make_log_view(const std::filesystem::path& path);

}  // namespace slipway::report
