// Runs one command of an ExecSpec; called in a process of its own, a child of the worker.
#pragma once

#include <vector>

#include "base/fd.h"
#include "sandbox/protocol.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {

/// Descriptors of a step: stdin, stdout, stderr; empty = /dev/null.
struct StepIo {
  Fd streams[3];
  Fd network;  ///< the build's network namespace, for Network::open
};

/// Unshares the mount namespace, puts the root together, runs the OCI runtime and waits. Nothing of
/// the step is left when it returns: when its first process ended, the others are killed, whatever
/// still holds its pipes (CMP-6, X16). A message on `channel` is a signal number for the step, its
/// closing ends the step. Throws Error(machine) when the runtime failed rather than the command.
ExecResult run_step(const WorkerState& state, const ExecSpec& spec, StepIo io, int channel);

}  // namespace slipway::sandbox
