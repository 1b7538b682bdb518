#include "fetch/fetcher.h"

#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "fetch/call.h"
#include "fetch/wire.h"

namespace slipway::fetch {
namespace {

Fd rewound(Fd file) {
  if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("rewind a download");
  return file;
}

std::string checked_commit(const Json& result) {
  std::string commit = field<std::string>(result, "commit");
  const bool hex = commit.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hex || (commit.size() != 40 && commit.size() != 64))
    fail(ExitCode::machine, "slipway-fetch answers oddly: '{}' is no commit", printable(commit));
  return commit;
}

}  // namespace

std::string Fetcher::git_resolve(const std::string& url, const std::string& ref) const {
  const TempDir scratch = TempDir::create("git", temp_dir);
  const Json request = {{"op", "git_resolve"},
                        {"url", url},
                        {"ref", ref},
                        {"scratch", fs::absolute(scratch.path()).string()}};
  return checked_commit(Call(*this).run(request, {}));
}

GitResult Fetcher::git(const GitRequest& request) const {
  // Made here, so that it goes even when the program is killed.
  const TempDir scratch = TempDir::create("git", temp_dir);
  Fd tar = nameless_file(temp_dir);
  const Json message = {{"op", "git"},
                        {"url", request.url},
                        {"ref", request.ref},
                        {"subdir", request.subdir},
                        {"submodules", request.submodules},
                        {"keep_git_dir", request.keep_git_dir},
                        {"commit", request.commit},
                        {"scratch", fs::absolute(scratch.path()).string()},
                        {"output", tar.get()}};
  const Json result = Call(*this).run(message, {tar.get()});
  GitResult answer;
  answer.commit = checked_commit(result);
  answer.commit_time = field<int64_t>(result, "commit_time");
  answer.tar = rewound(std::move(tar));
  return answer;
}

HttpResult Fetcher::http(const HttpRequest& request) const {
  Fd body = nameless_file(temp_dir);
  const Json message = {{"op", "http"},
                        {"url", request.url},
                        {"checksum", request.checksum},
                        {"size_max_bytes", request.size_max_bytes},
                        {"retries", request.retries},
                        {"retry_delay_ms", request.retry_delay.count()},
                        {"stall_limit_s", request.stall_limit.count()},
                        {"known_etag", request.known_etag},
                        {"output", body.get()}};
  const Json result = Call(*this).run(message, {body.get()});
  HttpResult answer;
  answer.sha256 = field<std::string>(result, "sha256");
  answer.size_bytes = field<uint64_t>(result, "size_bytes");
  answer.final_url = field<std::string>(result, "final_url");
  answer.etag = field<std::string>(result, "etag");
  answer.last_modified = field<int64_t>(result, "last_modified");
  answer.not_modified = field<bool>(result, "not_modified");
  answer.body = rewound(std::move(body));
  return answer;
}

}  // namespace slipway::fetch
