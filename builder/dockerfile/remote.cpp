#include "dockerfile/remote.h"

#include <map>

#include "base/error.h"
#include "base/text.h"
#include "base/url.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"

namespace slipway::dockerfile {
namespace {

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ExitCode::app_files, "the git source " + problem);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text, bool plus_is_blank) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      plain += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      plain += plus_is_blank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

// "user@host:path" without a scheme; the host is no path ("./a@b:c" is a file).
bool is_scp_form(std::string_view text) {
  const size_t at = text.find('@');
  const size_t colon = text.find(':', at == std::string_view::npos ? 0 : at);
  if (at == std::string_view::npos || at == 0 || colon == std::string_view::npos) return false;
  const auto plain = [](std::string_view part, std::string_view more) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || more.find(c) != std::string_view::npos;
    });
  };
  return plain(text.substr(0, at), "_") && plain(text.substr(at + 1, colon - at - 1), ".");
}

struct Parts {
  std::string remote;
  std::string query, fragment;
};

Parts split_url(std::string_view text) {
  Parts parts;
  const size_t hash = text.find('#');
  if (hash != std::string_view::npos)
    parts.fragment = percent_decoded(text.substr(hash + 1), false);
  text = text.substr(0, hash);
  const size_t mark = text.find('?');
  if (mark != std::string_view::npos) parts.query = text.substr(mark + 1);
  parts.remote = text.substr(0, mark);
  return parts;
}

// Each key once; a key without a value has an empty one.
std::map<std::string, std::string> read_query(const std::string& query) {
  std::map<std::string, std::string> values;
  for (const std::string& pair : split(query, '&')) {
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::string key = percent_decoded(pair.substr(0, equals), true);
    const std::string value =
        equals == std::string::npos ? "" : percent_decoded(pair.substr(equals + 1), true);
    if (!values.emplace(key, value).second)
      refuse(fmt::format("has the key '{}' twice", printable(key)));
  }
  return values;
}

bool read_switch(const std::string& key, const std::string& value) {
  if (value.empty()) return true;
  const std::optional<bool> on = parse_bool(value);
  if (!on)
    refuse(fmt::format("has '{}={}', which is neither true nor false", key, printable(value)));
  return *on;
}

void agree(std::string& known, const std::string& said, const char* what) {
  if (!known.empty() && known != said)
    refuse(fmt::format("names two {}: '{}' and '{}'", what, printable(known), printable(said)));
  known = said;
}

std::string in_namespace(const char* ns, const std::string& name) {
  return name.starts_with(ns) ? name : ns + name;
}

void apply_query(const std::string& query, GitSource& source) {
  std::string tag, branch, commit;
  bool by_commit = false;
  for (const auto& [key, value] : read_query(query)) {
    if (key == "keep-git-dir") {
      source.keep_git_dir = read_switch(key, value);
    } else if (key == "submodules") {
      source.op.submodules = read_switch(key, value);
    } else if (key == "fetch-by-commit") {
      by_commit = read_switch(key, value);
    } else if (key != "ref" && key != "tag" && key != "branch" && key != "commit" &&
               key != "checksum" && key != "subdir" && key != "mtime") {
      const auto near = closest(key, {"ref", "tag", "branch", "commit", "checksum", "subdir",
                                      "keep-git-dir", "submodules", "mtime", "fetch-by-commit"});
      throw Error(ExitCode::app_files,
                  fmt::format("the git source has the unknown key '{}'", printable(key)))
          .set_hint(near ? fmt::format("did you mean '{}'?", *near) : "");
    } else if (value.empty()) {
      refuse(fmt::format("has the key '{}' without a value", key));
    } else if (key == "ref") {
      agree(source.op.ref, value, "refs");
    } else if (key == "tag") {
      tag = in_namespace("refs/tags/", value);
    } else if (key == "branch") {
      branch = in_namespace("refs/heads/", value);
    } else if (key == "subdir") {
      agree(source.op.subdir, clean_path("/" + value).substr(1), "folders");
    } else if (key == "mtime") {
      if (value == "commit")
        throw Error(ExitCode::app_files,
                    "the git source has 'mtime=commit', which is not supported")
            .set_hint("files get the time of the checkout; leave the key out");
      if (value != "checkout")
        refuse(fmt::format("has 'mtime={}'; it is checkout or commit", printable(value)));
    } else {
      agree(commit, value, "commits");
    }
  }
  if (!tag.empty() && !branch.empty()) refuse("names a branch and a tag");
  if (!tag.empty()) agree(source.op.ref, tag, "refs");
  if (!branch.empty()) agree(source.op.ref, branch, "refs");
  source.op.checksum = lower_case(commit);
  // The commit is fetched itself then; whether the ref leads there is not asked.
  if (by_commit) {
    if (commit.size() < 40) refuse("has 'fetch-by-commit' without a whole commit");
    source.op.ref = source.op.checksum;
  }
}

// What could be taken for an option of git or for something outside the repository.
void check_part(const std::string& part, const char* what) {
  const bool control = std::any_of(part.begin(), part.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (control || part.starts_with('-'))
    refuse(fmt::format("has an impossible {}: '{}'", what, printable(part)));
}

}  // namespace

bool is_commit_prefix(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return hex_value(c) >= 0; });
}

std::optional<GitSource> parse_git_source(std::string_view text) {
  if (text.starts_with("./") || text.starts_with("../") || text.starts_with('/'))
    return std::nullopt;
  const std::string scheme = url_scheme(text);
  const bool web = scheme == "http" || scheme == "https";
  if (!web && scheme != "ssh" && scheme != "git" && !(scheme.empty() && is_scp_form(text)))
    return std::nullopt;
  const Parts parts = split_url(text);
  if (web && !parts.remote.ends_with(".git")) return std::nullopt;
  GitSource source;
  source.op.url = parts.remote;
  const size_t colon = parts.fragment.find(':');
  source.op.ref = parts.fragment.substr(0, colon);
  if (colon != std::string::npos)
    source.op.subdir = clean_path("/" + parts.fragment.substr(colon + 1)).substr(1);
  apply_query(parts.query, source);
  check_part(source.op.url, "address");
  check_part(source.op.ref, "ref");
  check_part(source.op.subdir, "folder");
  if (!source.op.checksum.empty() && !is_commit_prefix(source.op.checksum))
    refuse(fmt::format("has the commit '{}', which is not hexadecimal",
                       printable(source.op.checksum)));
  return source;
}

bool is_http_source(std::string_view text) {
  const std::string scheme = url_scheme(text);
  return (scheme == "http" || scheme == "https") && !parse_git_source(text);
}

std::string http_filename(std::string_view url) {
  std::string_view path = url.substr(0, url.find_first_of("?#"));
  const size_t host = path.find("://") + 3;
  const size_t first = path.find('/', host);
  if (first == std::string_view::npos) return "__unnamed__";
  path.remove_prefix(first);
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::string name = percent_decoded(path.substr(path.rfind('/') + 1), false);
  const bool usable = !name.empty() && name != "." && name != ".." &&
                      name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  return usable ? name : "__unnamed__";
}

std::string shown_url(std::string_view url) {
  return url_without_credentials(url);
}

}  // namespace slipway::dockerfile
