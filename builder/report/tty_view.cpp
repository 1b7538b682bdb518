// The live view. The status line lies on the line below the cursor (or on the cursor's line when
// that is empty) and is erased before anything else is written, so the cursor always stands where
// the build's own output left it. Nothing is hidden, no mode is changed: whatever way the process
// ends, the terminal stays usable.
#include <sys/ioctl.h>

#include "base/text.h"
#include "report/encode.h"
#include "report/format.h"
#include "report/plain_view.h"

namespace slipway::report {
namespace {

// ECMA-48 / DEC: save and restore cursor with colours, erase to the end of the screen, one line
// down with scrolling but the same column (IND), one line up.
constexpr const char* save =
    "\x1b"
    "7";
constexpr const char* restore =
    "\x1b"
    "8";
constexpr const char* no_colour = "\x1b[0m";
constexpr const char* erase_below = "\x1b[J";
constexpr const char* line_below =
    "\x1b"
    "D";
constexpr const char* up = "\x1b[A";
constexpr const char* down = "\x1b[B";
constexpr size_t columns_min = 20, rows_min = 3;

class TtyView : public PlainView {
 public:
  TtyView(int fd, PlainOptions options) : PlainView(Sink(fd), options), begun_(now()) {}
  ~TtyView() override {
    try {
      erase();
    } catch (const std::exception&) {
      return;  // the terminal is gone; nothing to tidy
    }
  }
  TtyView(const TtyView&) = delete;
  TtyView& operator=(const TtyView&) = delete;

  void on_event(const Event& event) override {
    if (const auto* progress = std::get_if<Progress>(&event)) {
      progress_ = progress->finished ? Progress{} : *progress;
      return;
    }
    erase();
    if (std::holds_alternative<BuildStarted>(event)) active_ = true;
    if (std::holds_alternative<BuildFinished>(event)) active_ = false;
    PlainView::on_event(event);
    if (std::holds_alternative<BuildFinished>(event)) progress_ = {};
    draw();
  }

  void on_tick() override {
    ++ticks_;
    // Drawing over the old line does not flicker; what cannot be drawn any more is erased.
    if (!draw()) erase();
  }

 private:
  std::string status(size_t columns) const {
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now() - begun_);
    std::string text = fmt::format("{} {}", "|/-\\"[ticks_ % 4], format_duration(passed));
    const std::string bytes = progress_bytes(progress_);
    if (!progress_.what.empty())
      text += "  " + progress_.what + (bytes.empty() ? "" : " " + bytes);
    else if (!running().empty())
      text += "  " + running().begin()->second.title;
    if (running().size() > 1) text += fmt::format("  (+{} more)", running().size() - 1);
    return fit_columns(text, columns - 1);
  }

  /// False when there is nothing to show or no room for it.
  bool draw() {
    // Asked for each time: that is all a resize needs.
    winsize size{};
    if (ioctl(sink().fd(), TIOCGWINSZ, &size) != 0) return false;
    if (size.ws_col < columns_min || size.ws_row < rows_min) return false;
    if (!active_ && running().empty() && progress_.what.empty()) return false;
    std::string text;
    mid_line_ = !sink().at_line_start();
    // Makes sure that a line below exists without moving sideways.
    if (mid_line_) text += std::string(line_below) + up;
    text += save;
    if (mid_line_) text += down;
    text += std::string("\r") + no_colour + erase_below + status(size.ws_col) + restore;
    control(text);
    drawn_ = true;
    return true;
  }

  void erase() {
    if (!drawn_) return;
    drawn_ = false;
    std::string text = save;
    if (mid_line_) text += down;
    control(text + "\r" + no_colour + erase_below + restore);
  }

  /// Past the sink, which must not take these for output.
  void control(const std::string& text) { Sink(sink().fd()).write(text); }

  std::chrono::steady_clock::time_point begun_;
  Progress progress_;
  size_t ticks_ = 0;
  bool active_ = false, drawn_ = false, mid_line_ = false;
};

}  // namespace

std::shared_ptr<View> make_tty_view(int fd, bool explain, Clock clock) {
  PlainOptions options;
  options.explain = explain;
  options.keepalive = false;
  options.all_steps = false;
  options.progress = false;
  options.clock = std::move(clock);
  return std::make_shared<TtyView>(fd, options);
}

}  // namespace slipway::report
