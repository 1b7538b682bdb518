#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <cstdlib>

#include "helpers.h"
#include "screen.h"

using namespace slipway;
using namespace slipway::report;
using std::chrono::seconds;

namespace {

/// A pseudo terminal whose other end is a Screen.
class Terminal {
 public:
  Terminal(unsigned short columns, unsigned short rows)
      : master_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), screen_(columns, rows) {
    if (!master_ || grantpt(master_.get()) != 0 || unlockpt(master_.get()) != 0) return;
    slave_ = Fd(open(ptsname(master_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (slave_) resize(columns, rows);
  }
  bool works() const { return static_cast<bool>(slave_); }
  int fd() const { return slave_.get(); }
  void resize(unsigned short columns, unsigned short rows) const {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = rows;
    ioctl(slave_.get(), TIOCSWINSZ, &size);
  }
  /// What arrived since the last call.
  std::string drain() {
    std::string all;
    pollfd wanted{master_.get(), POLLIN, 0};
    while (poll(&wanted, 1, 20) > 0) {
      char buffer[4096];
      const ssize_t count = read(master_.get(), buffer, sizeof buffer);
      if (count <= 0) break;
      all.append(buffer, static_cast<size_t>(count));
    }
    return all;
  }
  std::string text() {
    // The terminal's driver has made "\r\n" of "\n" already.
    screen_.feed(drain());
    return screen_.text();
  }
  const Screen& screen() const { return screen_; }

 private:
  Fd master_, slave_;
  Screen screen_;
};

}  // namespace

TEST_CASE("tty view: the status line stays below what scrolls and is gone at the end") {
  Terminal terminal(60, 6);
  if (!terminal.works()) {
    WARN("skipped: no pseudo terminals here");
    return;
  }
  const HandClock clock;
  {
    const auto view = make_tty_view(terminal.fd(), false, clock);
    view->on_event(BuildStarted{});
    view->on_event(Notice{Notice::Level::step, "Building"});
    view->on_event(StepStarted{1, "compile nodejs"});
    clock.advance(seconds(3));
    view->on_tick();
    CHECK(terminal.text() == "-----> Building\n/ 3.0 s  compile nodejs\n");

    view->on_event(Output{1, "-----> Fetching ..."});
    view->on_tick();
    CHECK(terminal.text() == "-----> Building\n-----> Fetching ...\n- 3.0 s  compile nodejs\n");
    CHECK(terminal.screen().row() == 1);
    CHECK(terminal.screen().column() == 19);

    view->on_event(Output{1, " done\n"});
    CHECK(terminal.text() ==
          "-----> Building\n-----> Fetching ... done\n- 3.0 s  compile nodejs\n");

    view->on_event(Progress{1, "downloading", 1 << 20, 4 << 20, false});
    view->on_event(StepStarted{2, "other"});
    view->on_tick();
    CHECK(terminal.text() ==
          "-----> Building\n-----> Fetching ... done\n\\ 3.0 s  downloading 1M of 4M  (+1 more)\n");
    view->on_event(Progress{1, "downloading", 4 << 20, 4 << 20, true});

    view->on_event(Output{1, "a\nb\nc\nd\ne"});
    view->on_tick();
    CHECK(terminal.text() ==
          "-----> Building\n-----> Fetching ... done\na\nb\nc\nd\ne\n| 3.0 s  compile nodejs  (+1 "
          "more)\n");
    view->on_event(StepFinished{1, "compile nodejs", StepFinished::Outcome::ran, seconds(3)});
    view->on_event(StepFinished{2, "other", StepFinished::Outcome::cached});
    view->on_event(BuildFinished{.ok = true, .duration = seconds(4)});
    view->on_tick();
  }
  CHECK(terminal.text() ==
        "-----> Building\n-----> Fetching ... done\na\nb\nc\nd\ne\n"
        "[1] compile nodejs: 3.0 s\nBuilt in 4.0 s\n");
}

TEST_CASE("tty view: a resized window gets a status line that fits, a tiny one none") {
  Terminal terminal(60, 6);
  if (!terminal.works()) {
    WARN("skipped: no pseudo terminals here");
    return;
  }
  const HandClock clock;
  const auto view = make_tty_view(terminal.fd(), false, clock);
  view->on_event(StepStarted{1, "a title that is longer than the window will be"});
  CHECK(terminal.text() == "| 0 ms  a title that is longer than the window will be\n");
  terminal.resize(24, 6);
  view->on_tick();
  CHECK(terminal.text() == "/ 0 ms  a title that is\n");
  terminal.resize(10, 6);
  view->on_tick();
  CHECK(terminal.text().empty());
}

TEST_CASE("tty view: a terminal that went away drops the view, the build goes on") {
  auto terminal = std::make_unique<Terminal>(60, 6);
  if (!terminal->works()) {
    WARN("skipped: no pseudo terminals here");
    return;
  }
  const Fd kept(dup(terminal->fd()));
  Stream stream;
  stream.add_view(make_tty_view(kept.get()));
  terminal.reset();
  stream.step("still alive");
  stream.tick();
  SUCCEED("no exception");
}
