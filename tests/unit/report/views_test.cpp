#include "report/views.h"

#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "helpers.h"
#include "report/encode.h"

using namespace slipway;
using namespace slipway::report;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("plain view: steps with their time, cached marks, the closing lines") {
  Paper paper;
  const HandClock clock;
  const auto view = make_plain_view(paper.fd(), true, clock);
  view->on_event(Notice{Notice::Level::step, "Building"});
  view->on_event(StepStarted{1, "source"});
  view->on_event(StepFinished{1, "source", StepFinished::Outcome::cached});
  view->on_event(StepStarted{2, "compile nodejs"});
  view->on_event(Output{2, "raw \xff\r"});
  view->on_event(Output{2, "half"});
  view->on_event(StepFinished{2, "compile nodejs", StepFinished::Outcome::ran, milliseconds(12'300),
                              "A changed"});
  view->on_event(
      StepFinished{3, "release", StepFinished::Outcome::failed, milliseconds(40), "", "exit 1"});
  view->on_event(Notice{Notice::Level::warning, "one\ntwo"});
  BuildFinished finished{.ok = true, .duration = seconds(65), .steps_total = 3, .steps_cached = 1};
  finished.artifact_size = 35 << 20;
  finished.next_command = "slipway run shop web";
  view->on_event(finished);
  CHECK(paper.text() ==
        "-----> Building\n"
        "[1] source: cached\n"
        "raw \xff\rhalf\n"
        "[2] compile nodejs: 12.3 s\n"
        "    ran because A changed\n"
        "[3] release: failed after 40 ms: exit 1\n"
        "    ran for the first time\n"
        " !     one\n !     two\n"
        "Built 35M in 1 min 05 s, 1 of 3 steps cached\n"
        "Next: slipway run shop web\n");
}

TEST_CASE("plain view: steps side by side do not mix") {
  Paper paper;
  const auto view = make_plain_view(paper.fd());
  view->on_event(StepStarted{1, "a"});
  view->on_event(StepStarted{2, "b"});
  view->on_event(Output{1, "a1 "});
  view->on_event(Output{2, "b1\n"});
  view->on_event(Output{1, "a2\n"});
  view->on_event(Output{2, "b2"});
  view->on_event(StepFinished{1, "a"});
  view->on_event(Output{2, "!\n"});
  view->on_event(StepFinished{2, "b"});
  CHECK(paper.text() == "a1 a2\nb1\nb2\n[1] a: 0 ms\n!\n[2] b: 0 ms\n");
}

TEST_CASE("plain view: nothing that waits is lost") {
  Paper paper;
  const auto view = make_plain_view(paper.fd());
  view->on_event(Output{1, "a"});
  view->on_event(Output{2, "b"});
  view->on_event(StepFinished{2, "b"});
  view->on_event(Output{3, "c"});
  view->on_event(Output{0, "0"});
  view->on_event(BuildFinished{.ok = false, .exit_code = 130, .duration = seconds(1)});
  CHECK(paper.text() == "a\nb\n[2] b: 0 ms\n0\nc\nInterrupted after 1.0 s\n");
}

TEST_CASE("plain view: what takes long is told, what is quick is not") {
  Paper paper;
  const HandClock clock;
  const auto view = make_plain_view(paper.fd(), false, clock);
  view->on_event(Progress{0, "quick", 10, 10, true});
  view->on_event(Progress{0, "unpacking stack debian-12", 0, 0, false});
  clock.advance(seconds(3));
  view->on_tick();
  view->on_tick();
  view->on_event(Progress{0, "unpacking stack debian-12", 35 << 20, 70 << 20, false});
  clock.advance(seconds(15));
  view->on_tick();
  view->on_event(Progress{0, "unpacking stack debian-12", 70 << 20, 70 << 20, true});
  view->on_event(StepStarted{4, "compile"});
  clock.advance(seconds(61));
  view->on_tick();
  view->on_tick();
  view->on_event(Output{4, "half a line"});
  clock.advance(seconds(61));
  view->on_tick();
  CHECK(paper.text() ==
        "       unpacking stack debian-12 …\n"
        "       unpacking stack debian-12: 35M of 70M\n"
        "       unpacking stack debian-12: done, 70M, 18.0 s\n"
        "[4] compile: 1 min 01 s so far\n"
        "half a line");
}

TEST_CASE("log view: private file, everything in it, error and hint last") {
  const TempDir dir = TempDir::create("log");
  const auto path = dir.path() / "build.log";
  {
    const auto view = make_log_view(path);
    view->on_event(Output{1, std::string(1 << 20, 'x')});
    view->on_event(StepFinished{1, "compile", StepFinished::Outcome::failed, seconds(1)});
    view->on_event(BuildFinished{.ok = false,
                                 .exit_code = 1,
                                 .error = "it broke",
                                 .hint = "mend it",
                                 .duration = seconds(2)});
  }
  const std::string log = read_file(path);
  CHECK(log.size() > 1 << 20);
  CHECK(
      log.ends_with("\n[1] compile: failed after 1.0 s\n    ran for the first time\n"
                    "Failed after 2.0 s\nerror: it broke\nhint: mend it\n"));
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("json view: one object a line, bytes that are no text as base64") {
  Paper paper;
  const auto view = make_json_view(paper.fd(), [] { return int64_t{1'700'000'000'123}; });
  view->on_event(BuildStarted{"b1", "shop", "buildpack", "named with -b", "debian-12"});
  view->on_event(Output{1, "caf\xc3"});
  view->on_event(Output{1, "\xa9\n"});
  view->on_event(Output{1, "\xff\n"});
  view->on_event(Output{1, "\xe2\x82"});
  view->on_event(
      StepFinished{1, "t", StepFinished::Outcome::failed, milliseconds(5), "", "exit 1"});
  view->on_event(Notice{Notice::Level::warning, "bad \xff name"});
  view->on_event(Progress{0, "compressing", 5, 10, false});
  view->on_event(BuildFinished{.ok = true, .next_command = "x"});
  std::vector<Json> lines;
  for (const std::string& line : split(paper.text(), '\n'))
    if (!line.empty()) lines.push_back(Json::parse(line));
  REQUIRE(lines.size() == 9);
  CHECK(lines[0] == Json{{"type", "build_started"},
                         {"time", "2023-11-14T22:13:20.123Z"},
                         {"version", 1},
                         {"build", "b1"},
                         {"app", "shop"},
                         {"strategy", "buildpack"},
                         {"reason", "named with -b"},
                         {"stack", "debian-12"}});
  CHECK(lines[1]["text"] == "caf");
  CHECK(lines[2]["text"] == "\xc3\xa9\n");
  CHECK(lines[3]["base64"] == "/wo=");
  CHECK(lines[4]["base64"] == "4oI=");
  CHECK(lines[5]["outcome"] == "failed");
  CHECK(lines[5]["error"] == "exit 1");
  CHECK_FALSE(lines[5].contains("missed_because"));
  CHECK(lines[6]["level"] == "warning");
  CHECK(lines[7]["total_bytes"] == 10);
  CHECK(lines[8]["ok"] == true);
  CHECK(lines[8]["next_command"] == "x");
}

TEST_CASE("make_view: names, and what a pipe gets") {
  Paper paper;
  const auto view = make_view("tty", paper.fd());
  view->on_event(StepFinished{1, "a"});
  CHECK(paper.text() == "[1] a: 0 ms\n");
  try {
    make_view("fancy", paper.fd());
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::usage);
    CHECK(error.cause() == "--progress: unknown view 'fancy'");
    CHECK(error.hint() == "use auto, tty, plain, heroku or json");
  }
}

TEST_CASE("encode: base64, UTF-8, columns") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(is_utf8("caf\xc3\xa9 \xf0\x9f\x9a\x80"));
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"})
    CHECK_FALSE(is_utf8(bad));
  CHECK(incomplete_utf8_tail("a\xe2\x82") == 2);
  CHECK(incomplete_utf8_tail("a\xe2\x82\xac") == 0);
  CHECK(incomplete_utf8_tail("\x80\x80\x80\x80") == 0);
  CHECK(fit_columns("a\xe6\xbc\xa2z", 3) == "a\xe6\xbc\xa2");
  CHECK(fit_columns("a\xe6\xbc\xa2z", 2) == "a");
  CHECK(fit_columns("a\x1b[1m\xff", 9) == "a?[1m?");
}
