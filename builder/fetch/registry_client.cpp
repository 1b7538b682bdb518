// The Fetcher's registry requests: what slipway-fetch needs goes to it, what it hands over is
// taken.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "fetch/call.h"
#include "fetch/wire.h"

namespace slipway::fetch {
namespace {

// Of blobs with one registry, each with RegistrySettings::parallel connections: one more than one,
// so that there is something to transfer while the caller is busy with the first one's blobs.
constexpr size_t transfers_max = 2;

/// A place among those that may transfer blobs with a registry now (N6).
class Turn {
 public:
  Turn(const std::string& domain, const Cancel* cancel) : domain_(domain) {
    std::unique_lock lock(state().mutex);
    // Cancel has no way to wake us here.
    while (state().busy[domain_] >= transfers_max) {
      if (cancel != nullptr) cancel->check();
      state().freed.wait_for(lock, std::chrono::milliseconds(50));
    }
    ++state().busy[domain_];
  }
  ~Turn() {
    const std::lock_guard lock(state().mutex);
    --state().busy[domain_];
    state().freed.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable freed;
    std::map<std::string, size_t> busy;
  };
  static State& state() {
    static State one;
    return one;
  }
  const std::string domain_;
};

/// Runs a PushBlob's write() on a thread of its own, into a pipe.
class Writer {
 public:
  Writer(const std::function<void(int)>& write, Fd out)
      : out_(std::move(out)), thread_([this, write] { run(write); }) {}
  /// Waits for its end.
  std::exception_ptr failure() {
    if (thread_.joinable()) thread_.join();
    return failure_;
  }

 private:
  void run(const std::function<void(int)>& write) {
    // A reader that gave up is an error of write(2), not our end.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    try {
      write(out_.get());
    } catch (...) {
      failure_ = std::current_exception();
    }
    out_.reset();
  }
  Fd out_;
  std::exception_ptr failure_;
  std::jthread thread_;
};

Json platform_to_wire(const oci::Platform& platform) {
  return {{"os", platform.os},
          {"architecture", platform.architecture},
          {"variant", platform.variant},
          {"os_version", platform.os_version}};
}

size_t place_of(const Json& message, const char* name, size_t count) {
  const auto place = field<size_t>(message, name);
  if (place >= count) fail(ExitCode::machine, "slipway-fetch answers oddly: there is no {}", place);
  return place;
}

Fd only_file(std::vector<Fd>& files) {
  if (files.size() != 1) fail(ExitCode::machine, "slipway-fetch answers oddly: a file is missing");
  return std::move(files[0]);
}

/// Adds to an error what was being done.
template <typename Work>
auto doing(const std::string& what, Work work) {
  try {
    return work();
  } catch (const Interrupted&) {
    throw;
  } catch (Error& error) {
    throw error.add_context(what);
  }
}

/// Gives blobs to a push that asks for them.
class Giver {
 public:
  explicit Giver(const std::vector<PushBlob>& blobs) : blobs_(blobs) {}

  void take(Call& call, const Json& message) {
    if (message.contains("short")) {
      // The pipe ended early; if its writer failed, that is the story.
      const size_t place = place_of(message, "short", blobs_.size());
      const auto writer = writers_.find(place);
      if (writer != writers_.end())
        if (const std::exception_ptr failure = writer->second->failure())
          std::rethrow_exception(failure);
      return;
    }
    const size_t place = place_of(message, "want", blobs_.size());
    const PushBlob& blob = blobs_[place];
    if (blob.open) {
      const Fd file = blob.open();
      // A descriptor of its own offset: the caller may hand out one file twice.
      if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("rewind a blob");
      call.answer({{"blob", place}}, file.get());
      return;
    }
    // One before, if any, fails to write and ends.
    writers_.erase(place);
    Pipe pipe = Pipe::create();
    writers_[place] = std::make_unique<Writer>(blob.write, std::move(pipe.write));
    call.answer({{"blob", place}}, pipe.read.get());
  }

 private:
  const std::vector<PushBlob>& blobs_;
  std::map<size_t, std::unique_ptr<Writer>> writers_;
};

}  // namespace

ResolveResult Fetcher::resolve(const ResolveRequest& request) const {
  return doing("image " + request.reference.familiar(), [&] {
    ResolveResult found;
    Call call(*this);
    call.open_channel([&](const Json& message, std::vector<Fd> files) {
      const std::string kind = field<std::string>(message, "document");
      RegistryDocument document;
      document.descriptor = descriptor_from_wire(field<Json>(message, "descriptor"));
      document.bytes = read_all(only_file(files).get(), config_bytes_max + 1);
      if (kind == "index")
        found.index = std::move(document);
      else if (kind == "manifest")
        found.manifest = std::move(document);
      else if (kind == "config")
        found.config = std::move(document);
    });
    const Json result =
        call.run({{"op", "registry_resolve"},
                  {"settings", to_wire(registry)},
                  {"reference", to_wire(request.reference)},
                  {"platform", request.platform ? platform_to_wire(*request.platform) : Json()},
                  {"known", request.known}},
                 {});
    found.top = descriptor_from_wire(field<Json>(result, "top"));
    found.unchanged = field<bool>(result, "unchanged");
    return found;
  });
}

void Fetcher::pull(const PullRequest& request, const OnBlob& on_blob) const {
  std::vector<const oci::Descriptor*> blobs;
  std::set<std::string> seen;
  Json list = Json::array();
  for (const oci::Descriptor& blob : request.blobs) {
    if (!seen.insert(blob.digest).second) continue;
    blobs.push_back(&blob);
    list.push_back(to_wire(blob));
  }
  if (blobs.empty()) return;
  const Turn turn(request.reference.domain, cancel);
  doing("image " + request.reference.familiar(), [&] {
    size_t count = 0;
    Call call(*this);
    call.open_channel([&](const Json& message, std::vector<Fd> files) {
      const size_t place = place_of(message, "blob", blobs.size());
      ++count;
      on_blob(*blobs[place], only_file(files));
    });
    call.run({{"op", "registry_pull"},
              {"settings", to_wire(registry)},
              {"reference", to_wire(request.reference)},
              {"folder", temp_dir},
              {"blobs", list}},
             {});
    if (count != blobs.size())
      fail(ExitCode::machine, "slipway-fetch answers oddly: {} of {} blobs came", count,
           blobs.size());
  });
}

PushResult Fetcher::push(const PushRequest& request) const {
  Json blobs = Json::array();
  for (const PushBlob& blob : request.blobs) {
    SLIPWAY_CHECK(static_cast<bool>(blob.open) != static_cast<bool>(blob.write));
    blobs.push_back({{"descriptor", to_wire(blob.descriptor)}, {"mount_from", blob.mount_from}});
  }
  Json documents = Json::array();
  const Fd bytes(memfd_create("slipway-documents", MFD_CLOEXEC));
  if (!bytes) fail_errno("memfd_create");
  for (const PushDocument& document : request.documents) {
    documents.push_back({{"media_type", document.media_type}, {"size", document.bytes.size()}});
    write_all(bytes.get(), document.bytes);
  }
  if (lseek(bytes.get(), 0, SEEK_SET) != 0) fail_errno("rewind documents");
  const Turn turn(request.reference.domain, cancel);
  return doing("pushing " + request.reference.familiar(), [&] {
    // Before the call: what its program no longer reads lets the writers end.
    Giver giver(request.blobs);
    Call call(*this);
    call.open_channel([&](const Json& message, std::vector<Fd>) { giver.take(call, message); });
    const Json result = call.run({{"op", "registry_push"},
                                  {"settings", to_wire(registry)},
                                  {"reference", to_wire(request.reference)},
                                  {"more_tags", request.more_tags},
                                  {"blobs", blobs},
                                  {"documents", documents},
                                  {"documents_fd", bytes.get()}},
                                 {bytes.get()});
    return PushResult{field<std::string>(result, "digest"),
                      field<uint64_t>(result, "uploaded_bytes"), field<size_t>(result, "uploaded"),
                      field<size_t>(result, "mounted"), field<size_t>(result, "present")};
  });
}

std::string Fetcher::login(const LoginRequest& request) const {
  // Not among the first three: those become the program's own.
  const Fd password(fcntl(request.password_fd, F_DUPFD_CLOEXEC, 3));
  if (!password) fail_errno("open the password");
  const Json message = {{"op", "registry_login"},
                        {"settings", to_wire(registry)},
                        {"domain", request.domain},
                        {"user", request.user},
                        {"password_fd", password.get()}};
  return doing("logging in to " + printable(request.domain), [&] {
    return field<std::string>(Call(*this).run(message, {password.get()}), "kept");
  });
}

bool Fetcher::logout(const std::string& domain) const {
  const Json message = {
      {"op", "registry_logout"}, {"settings", to_wire(registry)}, {"domain", domain}};
  return field<bool>(Call(*this).run(message, {}), "erased");
}

}  // namespace slipway::fetch
