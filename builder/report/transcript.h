// The builder's own lines of the Heroku transcript (heroku.md §6, modern form), as pure functions.
// "Lines" are complete and go to Stream::plain(); "texts" lack the " !     " that Stream::error()
// puts before them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace slipway::report {

/// OUT-5, lines: the Procfile's types, and the default types it does not declare, if any, with
/// the arrows aligned. Both maps are type → command.
std::vector<std::string> process_type_lines(const std::map<std::string, std::string>& procfile,
                                            const std::map<std::string, std::string>& defaults);

/// OUT-6: "Done: 82.1M", a detail.
std::string compressed_text(uint64_t size_bytes);
/// OUT-6, soft limit, a text: "Warning: Your slug size (346 MB) exceeds …".
std::string slug_size_warning(uint64_t size_bytes, uint64_t soft_limit_bytes = 300ULL << 20);
/// OUT-6, hard limit, two texts: "Compiled slug size: 515.2M is too large (max is 500M)." and where
/// to read on.
std::vector<std::string> slug_too_large(uint64_t size_bytes, uint64_t limit_bytes);

/// OUT-4, lines: several built-in buildpacks would take this app; names in detection order.
std::vector<std::string> several_languages(const std::vector<std::string>& names);
/// §6 failure, lines without "Push failed": nothing detected.
std::vector<std::string> no_default_language();
/// §6 failure, lines without "Push failed": a configured buildpack's detect said no. `output` is
/// what detect printed; only its first line gets the seven spaces.
std::vector<std::string> not_compatible(const std::string& buildpack, const std::string& output);
/// §6 failure, lines: "", " !     Push rejected, failed to compile X app.", "", " !     Push
/// failed".
std::vector<std::string> compile_failed(const std::string& detected_name);
/// PIPE-2, two texts.
std::vector<std::string> compile_timed_out(const std::string& detected_name, int minutes);

}  // namespace slipway::report
