// links: source
#include "source/procfile.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const source::Procfile file = source::parse_procfile(text);
    demand(file.types.size() == file.lines.size());
    for (const auto& [name, command] : file.types) {
      demand(source::is_process_type_name(name));
      demand(command.find('\n') == command.npos);
      // What was parsed can be written down and read again; but for CRs, which Windows adds.
      if (command.ends_with('\r')) continue;
      demand(source::parse_procfile(name + ": " + command + "\n").types.at(name) == command);
    }
  });
  return 0;
}
