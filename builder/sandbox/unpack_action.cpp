#include "sandbox/unpack_action.h"

#include <unistd.h>

#include "archive/archive_reader.h"
#include "archive/extract.h"
#include "base/error.h"

namespace slipway::sandbox {

bool is_archive(int file) {
  bool found = false;
  try {
    archive::ArchiveReader reader(file);
    std::string warning;
    found = reader.next(warning) != nullptr && reader.is_tar();
  } catch (const Error&) {
    // Anything that does not read as one is a file like any other.
  }
  if (lseek(file, 0, SEEK_SET) != 0) fail_errno("read an archive");
  return found;
}

archive::Tree unpack_archive(int file, int folder, const std::optional<graph::Owner>& owner,
                             bool single_id) {
  archive::ExtractOptions options;
  if (owner && !single_id) options.owner = {owner->uid, owner->gid};
  // With one id there is nobody else to give it to.
  options.keep_owner = !single_id;
  options.needs_end_marker = false;
  try {
    return archive::extract(file, folder, options);
  } catch (const Error& error) {
    if (error.code() != ExitCode::outside) throw;
    // Here the archive is the user's own file.
    Error own(ExitCode::app_files, error.cause());
    for (const std::string& doing : error.context()) own.add_context(doing);
    if (!error.hint().empty()) own.set_hint(error.hint());
    throw own;
  }
}

}  // namespace slipway::sandbox
