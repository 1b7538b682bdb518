// Precompiled for every folder: the standard and third-party headers nearly all files need. Nothing
// of ours stands here, so that a change of ours never rebuilds everything.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
