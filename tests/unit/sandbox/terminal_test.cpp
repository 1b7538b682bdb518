// A terminal step: the user's terminal is relayed to a pseudo terminal of the step's own.
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <thread>

#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

TEST_CASE("terminal: a shell has job control, the window's size and its mode back afterwards") {
  Sandbox box;
  int master_fd = -1, slave_fd = -1;
  winsize size{31, 97, 0, 0};
  REQUIRE(openpty(&master_fd, &slave_fd, nullptr, nullptr, &size) == 0);
  const Fd master(master_fd), slave(slave_fd);
  termios before{};
  tcgetattr(slave.get(), &before);

  std::string seen;
  std::thread person([&] {
    char buffer[4096];
    bool typed = false;
    for (;;) {
      const ssize_t count = read(master.get(), buffer, sizeof buffer);
      if (count <= 0) return;
      seen.append(buffer, static_cast<size_t>(count));
      if (!typed && seen.find("ready>") != std::string::npos) {
        typed = true;
        write_all(master.get(), "stty size; tty; sleep 100\r");
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        write_all(master.get(), "\x03");  // Ctrl-C ends the sleep, not the shell
        write_all(master.get(), "echo aft''er; exit 4\r");
      }
      if (seen.find("finished") != std::string::npos) return;
    }
  });
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/bash", "--norc", "-i"};
  spec.env = {{"PATH", "/usr/bin:/bin"}, {"PS1", "ready> "}, {"TERM", "dumb"}};
  spec.terminal = true;
  ExecIo io;
  io.stdin_fd = io.stdout_fd = io.stderr_fd = slave.get();
  const ExecResult result = box.worker->exec(spec, io, box.cancel);
  write_all(slave.get(), "finished");
  person.join();
  CHECK(result.status.code == 4);
  CHECK_THAT(seen, Contains("31 97"));
  CHECK_THAT(seen, Contains("/dev/pts/"));
  CHECK_THAT(seen, Contains("after"));
  CHECK_THAT(seen, !Contains("no job control"));
  termios after{};
  tcgetattr(slave.get(), &after);
  CHECK(after.c_lflag == before.c_lflag);
}

TEST_CASE("terminal: with pipes instead, the descriptors go to the step as they are") {
  Sandbox box;
  Pipe in = Pipe::create(), out = Pipe::create();
  write_all(in.write.get(), "typed\n");
  in.write.reset();
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/cat"};
  spec.terminal = true;
  ExecIo io;
  io.stdin_fd = in.read.get();
  io.stdout_fd = io.stderr_fd = out.write.get();
  CHECK(box.worker->exec(spec, io, box.cancel).status.ok());
  out.write.reset();
  CHECK(read_all(out.read.get()) == "typed\n");
}
