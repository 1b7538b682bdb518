#include "fetch/recorder.h"

#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "fetch/call.h"

namespace slipway::fetch {
namespace {

constexpr size_t words_bytes_max = 64 << 10;

RecordedRequest request_from(const Json& json) {
  RecordedRequest request;
  request.step = json.at("step");
  request.method = json.at("method");
  request.url = json.at("url");
  request.status = json.at("status");
  request.sha256 = json.at("sha256");
  request.size_bytes = json.at("size_bytes");
  request.id = json.at("id");
  request.source = json.at("source");
  request.error = json.at("error");
  request.duration_ms = json.at("duration_ms");
  request.recorded_s = json.at("recorded_s");
  return request;
}

std::string program_of(const RecorderOptions& options) {
  if (!options.program.empty()) return options.program;
  return (fs::read_symlink("/proc/self/exe").parent_path() / "slipway-fetch").string();
}

}  // namespace

struct Recorder::State {
  std::function<void(const RecordedRequest&)> on_event;
  Child child;
  Fd channel, out;
  std::thread listening;
  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex:
  std::string certificate;
  uint64_t asked = 0, settled = 0;
  bool gone = false;
  ExitStatus ended;

  ~State() {
    // Its end of the channel closes with it, which ends the thread.
    child = Child();
    if (listening.joinable()) listening.join();
  }

  void listen() {
    std::string text;
    std::vector<Fd> files;
    try {
      while (receive_message(channel.get(), text, files)) {
        const Json message = parse_json(text, "slipway-fetch", static_cast<int>(ExitCode::machine));
        if (message.contains("event")) {
          on_event(request_from(message["event"]));
          continue;
        }
        const std::lock_guard lock(mutex);
        if (message.contains("ready")) certificate = message["ready"].at("certificate");
        if (message.contains("settled")) settled = message["settled"];
        changed.notify_all();
      }
    } catch (const std::exception&) {
      // As good as gone.
    }
    const std::lock_guard lock(mutex);
    gone = true;
    changed.notify_all();
  }

  ExitStatus wait() {
    const std::lock_guard lock(mutex);
    if (child.running()) ended = child.wait();
    return ended;
  }

  /// Its last words, as the error they are.
  [[noreturn]] void fail_gone() {
    const ExitStatus status = wait();
    for (const std::string& line : split(read_all(out.get(), words_bytes_max), '\n')) {
      if (!Json::accept(line)) continue;
      const Json message = Json::parse(line);
      if (!message.contains("error")) continue;
      const Json& error = message["error"];
      throw Error(static_cast<ExitCode>(error.value("code", 6)), error.value("cause", ""))
          .set_hint(error.value("hint", ""))
          .add_context("recording downloads");
    }
    fail(ExitCode::machine, "the recorder ended early ({})", status.to_string());
  }

  void send(const Json& message, const std::vector<int>& files = {}) {
    try {
      send_message(channel.get(), dump_json(message), files);
    } catch (const Error&) {
      fail_gone();
    }
  }
};

Recorder::Recorder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Recorder::~Recorder() = default;

std::unique_ptr<Recorder> Recorder::start(const RecorderOptions& options,
                                          std::function<void(const RecordedRequest&)> on_event) {
  auto state = std::make_unique<State>();
  state->on_event = std::move(on_event);
  Fd theirs;
  std::tie(state->channel, theirs) = make_socket_pair();
  const Json request = {{"op", "record"},
                        {"store", options.store},
                        {"offline", options.offline},
                        {"preferred", options.preferred},
                        {"stall_limit_s", options.stall_limit.count()},
                        {"allow_loopback", options.allow_loopback},
                        {"channel", theirs.get()}};
  // A file, not a pipe: a program that dies early must not kill us with SIGPIPE.
  const Fd question(memfd_create("slipway-fetch-request", MFD_CLOEXEC));
  if (!question) fail_errno("memfd_create");
  write_all(question.get(), dump_json(request) + "\n");
  if (lseek(question.get(), 0, SEEK_SET) != 0) fail_errno("rewind a request");
  Pipe out = Pipe::create();
  SpawnOptions spawning;
  spawning.argv = {program_of(options)};
  spawning.stdin_fd = question.get();
  spawning.stdout_fd = out.write.get();
  spawning.keep_fds = {theirs.get()};
  // The death signal would come with the calling thread; the channel's end is its end.
  spawning.die_with_parent = false;
  try {
    state->child = spawn(spawning);
  } catch (Error& error) {
    throw error.set_hint("slipway-fetch belongs beside the slipway program; install both");
  }
  state->out = std::move(out.read);
  theirs.reset();
  out.write.reset();
  state->listening = std::thread([raw = state.get()] { raw->listen(); });
  bool ready = false;
  {
    std::unique_lock lock(state->mutex);
    state->changed.wait(lock, [&] { return !state->certificate.empty() || state->gone; });
    ready = !state->certificate.empty();
  }
  if (!ready) state->fail_gone();
  return std::unique_ptr<Recorder>(new Recorder(std::move(state)));
}

const std::string& Recorder::certificate_pem() const {
  return state_->certificate;
}

void Recorder::attach(const std::string& step, std::vector<RecordSocket> sockets) {
  Json kinds = Json::array();
  std::vector<int> files;
  for (const RecordSocket& socket : sockets) {
    kinds.push_back(socket.kind);
    files.push_back(socket.socket.get());
  }
  state_->send({{"attach", step}, {"kinds", kinds}}, files);
}

void Recorder::detach(const std::string& step) {
  state_->send({{"detach", step}});
}

void Recorder::settle() {
  uint64_t number = 0;
  {
    const std::lock_guard lock(state_->mutex);
    number = ++state_->asked;
  }
  state_->send({{"settle", number}});
  bool settled = false;
  {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->settled >= number || state_->gone; });
    settled = state_->settled >= number;
  }
  if (!settled) state_->fail_gone();
}

void Recorder::stop() {
  state_->send({{"stop", true}});
  {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait(lock, [&] { return state_->gone; });
  }
  if (!state_->wait().ok()) state_->fail_gone();
}

RecordedRequest seed_download(const RecorderOptions& options, const std::string& url, int file,
                              const std::string& sha256) {
  Fetcher fetcher;
  fetcher.program = options.program;
  const Json result = Call(fetcher).run({{"op", "record_seed"},
                                         {"store", options.store},
                                         {"url", url},
                                         {"sha256", sha256},
                                         {"file", file}},
                                        {file});
  RecordedRequest seeded;
  seeded.method = "GET";
  seeded.status = 200;
  seeded.source = "upstream";
  seeded.id = field<uint64_t>(result, "id");
  seeded.url = field<std::string>(result, "url");
  seeded.sha256 = field<std::string>(result, "sha256");
  seeded.size_bytes = field<uint64_t>(result, "size_bytes");
  return seeded;
}

}  // namespace slipway::fetch
