// What is said over HTTP, as values: which headers are kept, what a client asked for, what of a
// whole answer it gets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/downloads.h"

namespace slipway::record {

using cache::Headers;

/// A client's request, its URL made whole.
struct Request {
  std::string method;
  std::string url;   ///< "scheme://host[:port]/path?query", no userinfo; port only if not the usual
  Headers headers;   ///< names in lower case, in order, without those of the connection
  std::string body;  ///< only of what is recorded by its body (git)
  bool has_body = false;                            ///< a body follows on the connection
  std::string header(std::string_view name) const;  ///< empty when it is not there
};

/// The first of the name; nullptr when there is none.
const std::string* find_header(const Headers& headers, std::string_view name);
std::string lower_case(std::string_view text);

/// An address of the web as all else here takes it: no userinfo, no fragment, no usual port, a
/// path. Empty when it is none.
std::string web_url(std::string_view text);
/// Text that stands for what is asked: the URL without parameters that sign it (they change while
/// the thing does not). Other parameters stay: they may be what names the thing. It may hold
/// secrets: only its keyed hash may be kept.
std::string key_url(std::string_view url);
/// The URL for people and records: no userinfo, every value of the query "[redacted]".
std::string shown_url(std::string_view url);
/// A Location as it may be kept: values of known signature parameters emptied. What key_url() makes
/// of it is the same.
std::string kept_location(std::string_view location);

/// The answer's headers that a client needs and that hold no secrets: those are what a client gets
/// while recording and what it gets at a replay.
Headers kept_headers(const Headers& headers);
/// The answer's headers without those of the connection: for what is passed through.
Headers passed_headers(const Headers& headers);
/// The request's headers for the server: without those of the connection, of ranges and conditions
/// (whole answers are recorded) when `whole`.
Headers upstream_headers(const Headers& headers, bool whole);

/// What a request is about, before headers decide between variants: cache::Downloads::key()'s text.
std::string text_of_key(const Request& request);
/// Whether an answer of this status is kept.
bool is_recordable(int status);
/// What else of the request decided the answer, as its Vary says: "accept=text/html\n…".
std::string variant_text(const std::string& vary, const Request& request);
/// Whether a client that sent `request` can read the answer.
bool is_readable(const Headers& answer, const Request& request);
/// The answer recorded for this request; with `any_variant` also one for other preferences, if the
/// client can read it. nullptr = none. `answers`: newest first.
const cache::Download* choose_answer(const std::vector<cache::Download>& answers,
                                     const Request& request, bool any_variant);
/// RFC 9111: may be served without asking the server.
bool is_fresh(const cache::Download& answer, const Request& request, int64_t now_s);

/// RFC 9110 §13: what the client has already is still current.
bool is_not_modified(const Headers& answer, const Request& request);
struct Range {
  uint64_t first = 0, size = 0;
  bool satisfiable = true;
};
/// The part of an answer of `total` bytes that is asked for; empty = all of it.
std::optional<Range> asked_range(const Headers& answer, const Request& request, uint64_t total);

/// A POST that only reads: git's fetch.
bool is_git_fetch(const Request& request);
/// Carries credentials of its sender.
bool is_private(const Request& request);

}  // namespace slipway::record
