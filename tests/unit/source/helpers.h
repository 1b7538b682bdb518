// What the source tests share: one line to demand an error with code, text and hint.
#pragma once

#include <string>

#include "base/error.h"

/// "code | what() | hint", or "no error".
template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const slipway::Error& error) {
    std::string text = fmt::format("{} | {}", static_cast<int>(error.code()), error.what());
    if (!error.hint().empty()) text += " | " + error.hint();
    return text;
  }
  return "no error";
}
