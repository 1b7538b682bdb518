// Looks from inside whether the protections hold (threats 6, 11, 17, 25): a step of the host stack
// that prints what it sees. Fails closed.
#pragma once

#include <functional>
#include <string>

#include "cache/store.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

using RunStep = std::function<ExecResult(const ExecSpec&, const ExecIo&)>;

/// Runs the check unless it passed before on this boot with the same runtime, profile, kernel and
/// version (kept in the store). Throws Error(machine) naming the missing protection.
void self_check(cache::Store& store, const std::string& runtime_identity, const RunStep& run);

/// Judges what the check's step printed; empty = all is well, else what is missing. Pure.
std::string judge_self_check(const std::string& report);

/// The step that prints the report.
ExecSpec self_check_step();

}  // namespace slipway::sandbox
