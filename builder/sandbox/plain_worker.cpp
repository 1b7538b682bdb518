#include "sandbox/plain_worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "sandbox/direct_worker.h"
#include "sandbox/ids.h"
#include "sandbox/limits.h"
#include "sandbox/plain_places.h"
#include "sandbox/step_output.h"

namespace slipway::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

class PlainWorker : public DirectWorker {
 public:
  explicit PlainWorker(const WorkerOptions& options) : DirectWorker(options, true) {}
  std::string describe() const override {
    return "none (no isolation: the machine's own files, users and network)";
  }
  ExecResult exec(const ExecSpec& spec, const ExecIo& io, Cancel& cancel) override {
    if (!spec.root.host)
      throw Error(ExitCode::machine, "--isolation=none runs on the machine's own root only")
          .set_hint(
              "buildpacks run with --stack=host; a RUN needs --isolation=oci (user namespaces), or "
              "--isolation=chroot as root in a "
              "container; " +
              user_namespace_remedy());
    // Steps share the machine's paths, so they run one after the other.
    const std::lock_guard<std::mutex> lock(exec_mutex_);
    if (spec.workspace) fill_workspace(*spec.workspace);
    PlainPlaces places(store_, snapshots(), spec);
    StepOutput output(spec, io);
    const ExecResult result = run(spec, io, output, cancel);
    places.restore();
    return result;
  }

 private:
  ExecResult run(const ExecSpec& spec, const ExecIo& io, StepOutput& output, Cancel& cancel) {
    SpawnOptions spawning;
    spawning.argv = spec.argv;
    spawning.env.emplace();
    for (const auto& [name, value] : spec.env) (*spawning.env)[name] = value;
    spawning.cwd = spec.cwd;
    // A terminal's own foreground group stays together, so that job control works.
    spawning.own_process_group = !output.terminal();
    const std::vector<int> fds = output.step_fds();
    if (output.terminal()) {
      spawning.stdin_fd = io.stdin_fd;
      spawning.stdout_fd = io.stdout_fd;
      spawning.stderr_fd = io.stderr_fd >= 0 ? io.stderr_fd : io.stdout_fd;
    } else {
      const uint32_t present = output.present();
      size_t next = 0;
      int* const streams[] = {&spawning.stdin_fd, &spawning.stdout_fd, &spawning.stderr_fd};
      for (unsigned i = 0; i < 3; ++i)
        if ((present >> i & 1U) != 0) *streams[i] = fds[next++];
    }
    const uint64_t kills = limits_->out_of_memory_kills();
    const auto started = Clock::now();
    ExecResult result;
    Child child;
    try {
      child = spawn(spawning);
    } catch (const Error& error) {
      // As a shell tells it; the step's failure, not the machine's.
      if (io.on_stderr) io.on_stderr(error.cause() + "\n");
      result.status = {127, 0};
      return result;
    }
    limits_->add(child.pid());
    output.close_step_ends();
    std::optional<ExecResult> ended;
    result = output.relay_child(
        [&]() -> std::optional<ExecResult> {
          if (ended) return ended;
          const auto status = child.try_wait();
          if (status) {
            ended.emplace();
            ended->status = *status;
          } else if (spec.timeout && Clock::now() - started > *spec.timeout) {
            child.signal(SIGKILL);
            ended.emplace();
            ended->status = child.wait();
            ended->timed_out = true;
          }
          return ended;
        },
        [&](int signal) {
          if (child.running()) child.signal(signal);
        },
        cancel);
    result.out_of_memory = limits_->out_of_memory_kills() > kills;
    return result;
  }

  std::mutex exec_mutex_;
};

}  // namespace

std::unique_ptr<Worker> start_plain_worker(const WorkerOptions& options) {
  return std::make_unique<PlainWorker>(options);
}

}  // namespace slipway::sandbox
