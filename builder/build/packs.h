// Buildpack references become pieces of the graph; and the folder of built-in packs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "buildpack/pipeline.h"
#include "engine/engine.h"
#include "source/buildpack_ref.h"

namespace slipway::build {

/// Folders below buildpacks/ that have bin/compile.
std::vector<std::string> builtin_packs();

/// Units in order; folders of this machine are added to `locals` under names of their own.
/// A relative folder starts from `base`: where the caller is for -b, the app for its own files.
std::vector<buildpack::Unit> make_units(const std::vector<source::BuildpackRef>& refs,
                                        const fs::path& base, const fs::path& app_folder,
                                        const graph::Owner& owner,
                                        std::map<std::string, engine::LocalDir>& locals);

}  // namespace slipway::build
