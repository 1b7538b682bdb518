// Precompiled for the commands: what all folders share and the parser of command lines, by far the
// largest header they include.
#pragma once

#include <CLI/CLI.hpp>

#include "base/precompiled.h"
