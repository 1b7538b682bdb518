// What fuzz targets share: an Error is an answer, anything else is a crash.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

/// Calls parse(text); lets only slipway::Error pass, and that only with one of the codes allowed.
template <typename Parse>
void expect_answer(const uint8_t* data, size_t size, slipway::ExitCode allowed, Parse parse) {
  try {
    parse(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const slipway::Error& error) {
    if (error.code() != allowed || error.cause().empty()) std::abort();
  }
}

inline void demand(bool condition) {
  if (!condition) std::abort();
}
