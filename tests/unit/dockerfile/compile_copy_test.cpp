// COPY and ADD as file operations (dockerfile.md §3.3, H10, §9 B7, B8). What the operations do to
// trees is tested where they are done.
#include "compile_helpers.h"
#include "dockerfile/owner.h"
#include "dockerfile/remote.h"

using namespace compiling;
using graph::FileAction;

namespace {

const std::string from = "FROM a\n";

FileAction copy(const std::string& line, Given given = {}) {
  return action(given.compile(from + line + "\n").root);
}

std::string dest(const std::string& workdir, const std::string& written) {
  return copy("WORKDIR " + workdir + "\nCOPY [\"f\", \"" + written + "\"]").dest;
}

std::string copy_refusal(const std::string& line) {
  return refusal(from + line + "\n");
}

}  // namespace

TEST_CASE("COPY: the node has LLB's shape (B7, B8, B11)") {
  const Compiled result = compiled(from + "COPY src/file /dst\n");
  const graph::FileOp& op = files(result.root);
  CHECK_FALSE(op.on_scratch);
  REQUIRE(result.root->inputs().size() == 2);
  CHECK(result.root->inputs()[0] == result.steps.at(0).node);
  CHECK(std::get<graph::LocalOp>(result.root->inputs()[1]->op()).name == "context");
  const FileAction& one = action(result.root);
  CHECK(one.kind == FileAction::Kind::copy);
  CHECK(one.source_input == 1);
  CHECK(one.source == "/src/file");
  CHECK(one.dest == "/dst");
  CHECK(one.mode == -1);
  CHECK_FALSE(one.owner);
  CHECK(one.owner_names.empty());
  CHECK(one.contents);
  CHECK(one.create_dest_path);
  CHECK(one.allow_wildcard);
  CHECK(one.allow_empty_wildcard);
  CHECK(one.follow_links);
  CHECK_FALSE(one.allow_missing);
  CHECK_FALSE(one.unpack);
  CHECK_FALSE(one.replace_existing);
  CHECK_FALSE(one.timestamp_ns);

  const Compiled empty = compiled("FROM scratch\nCOPY f /\n");
  CHECK(files(empty.root).on_scratch);
  CHECK(empty.root->inputs().size() == 1);
  CHECK(action(empty.root).source_input == 0);
}

TEST_CASE("C3: sources are anchored at their root and cannot leave it, WORKDIR does not count") {
  CHECK(copy("WORKDIR /w\nCOPY ../../etc/passwd /").source == "/etc/passwd");
  CHECK(copy("COPY /a/../../b /").source == "/b");
  CHECK(copy("COPY . /").source == "/");
  CHECK(copy("COPY d/ /").source == "/d");
  CHECK(copy("COPY d/. /").source == "/d");
}

TEST_CASE("C3, C4: destinations join WORKDIR and keep what says directory (catalogue 41)") {
  CHECK(dest("/w", "x") == "/w/x");
  CHECK(dest("/w", "x/") == "/w/x/");
  CHECK(dest("/w", "x/.") == "/w/x/.");
  CHECK(dest("/w", ".") == "/w/");
  CHECK(dest("/w", "./") == "/w/");
  CHECK(dest("/w", "../x") == "/x");
  CHECK(dest("/w", "/abs/../y") == "/y");
  CHECK(dest("/w", "/") == "/");
  CHECK(copy("WORKDIR /w\nCOPY f $empty").dest == "/w/");
  CHECK(copy("COPY f x").dest == "/x");
  CHECK(action(compiled(from + "WORKDIR /w\nCOPY --link f $empty\n").root->inputs().at(1)).dest ==
        "/w/");
}

TEST_CASE("C25: one instruction is one operation, each source an action in order") {
  const Compiled result = compiled("FROM b AS s\nRUN x\nFROM a\nCOPY --from=s a b* [c] /d/\n");
  CHECK(result.layers.size() == 1);
  REQUIRE(files(result.root).actions.size() == 3);
  CHECK(action(result.root, 0).source == "/a");
  CHECK(action(result.root, 1).source == "/b*");
  CHECK(action(result.root, 2).source == "/[c]");
  for (const FileAction& one : files(result.root).actions) CHECK(one.source_input == 1);
  CHECK(result.root->inputs().size() == 2);
}

TEST_CASE("C13: --chown by numbers, names, root; unknown kinds are refused") {
  CHECK(copy("COPY --chown=10:20 f /").owner == graph::Owner{10, 20});
  CHECK(copy("COPY --chown=10 f /").owner == graph::Owner{10, 10});
  CHECK(copy("COPY --chown=root f /").owner == graph::Owner{0, 0});
  CHECK(copy("COPY --chown=app f /").owner_names == "app");
  CHECK(copy("COPY --chown=app:10 f /").owner_names == "app:10");
  CHECK_FALSE(copy("COPY --chown=app f /").owner);
  CHECK(copy("ARG u=7\nCOPY --chown=$u:$u f /").owner == graph::Owner{7, 7});
  CHECK(
      refusal("FROM scratch\nCOPY --chown=app f /\n") ==
      "4 | Dockerfile:2:14: there is no /etc/passwd to look 'app' up in: the stage is still empty "
      "| write numbers: 1000:1000");
  CHECK(refusal("FROM scratch\nCOPY --chown=root:0 f /\n") == "no error");
}

TEST_CASE("C14, catalogue 47: --chmod in octal and in symbols") {
  CHECK(copy("COPY --chmod=777 foo /parent/foo").mode == 0777);
  CHECK(copy("COPY --chmod=04755 f /").mode == 04755);
  CHECK(copy("COPY --chmod=a+X f /").mode_text == "a+X");
  CHECK(copy("COPY --chmod=u=rw,g=r,o=r f /").mode_text == "u=rw,g=r,o=r");
  CHECK(copy("COPY --chmod=u=rwX,go=rX f /").mode == -1);
  CHECK(copy("COPY --chmod=+x f /").mode_text == "+x");
  CHECK(copy("COPY --chmod=g=u,o= f /").mode_text == "g=u,o=");
  CHECK(copy("ARG m=600\nCOPY --chmod=$m f /").mode == 0600);
  for (const char* bad : {"64a", "10000", "8", "77777777777"})
    CHECK(copy_refusal(fmt::format("COPY --chmod={} f /", bad)) ==
          fmt::format("4 | Dockerfile:2:14: --chmod={} is no octal number from 0 to 07777 | write "
                      "--chmod=644 or --chmod=u=rwX,go=rX",
                      bad));
  for (const char* bad : {"rw", "u", "u=z", "a+X,", "u=rw,,g=r"})
    CHECK(copy_refusal(fmt::format("COPY --chmod={} f /", bad))
              .find(fmt::format("4 | Dockerfile:2:14: --chmod={} is no mode", bad)) == 0);
}

TEST_CASE("C15, catalogue 50: excludes are handed on as written") {
  CHECK(copy("COPY --exclude=*/*.png --exclude=!keep . /1").exclude == Texts{"*/*.png", "!keep"});
  const FileAction add = copy("ADD --exclude=* dir* /6");
  CHECK(add.exclude == Texts{"*"});
  CHECK(add.source == "/dir*");
}

TEST_CASE("C16, catalogue 48, 49: --parents keeps the path behind the first pivot") {
  const auto source = [](const std::string& written) {
    const FileAction one = copy("COPY --parents " + written + " /out/");
    CHECK(one.parents);
    return one.source;
  };
  CHECK(source("/test/a/b/./c/d") == "/test/a/b/./c/d");
  CHECK(source("/test/a/b/c/d/.") == "/test/a/b/c/d");
  CHECK(source("a/./b/./c") == "/a/./b/c");
  CHECK(source("./a/b") == "/a/b");
  CHECK(source("/./a/b") == "/./a/b");
  CHECK(source("/test/a/b*/./c/**/e") == "/test/a/b*/./c/**/e");
  CHECK(source("../../x/./y") == "/x/./y");
  CHECK(history(compiled(from + "COPY --parents a/./b /c/\n")).back() ==
        "COPY --parents a/./b /c/ # buildkit");
}

TEST_CASE("C17: --link is a layer on nothing and a merge (B11), with --chmod too (Q3)") {
  const Compiled result = compiled(from + "COPY --link --chmod=600 --chown=1:2 f /d/\n");
  CHECK(std::holds_alternative<graph::MergeOp>(result.root->op()));
  REQUIRE(result.root->inputs().size() == 2);
  CHECK(result.root->inputs()[0] == result.steps.at(0).node);
  const graph::NodeRef own = result.root->inputs()[1];
  CHECK(files(own).on_scratch);
  CHECK(action(own).replace_existing);
  CHECK(action(own).mode == 0600);
  CHECK(result.layers == std::vector<graph::NodeRef>{result.root});
  // What lies below does not change what is linked.
  const Compiled other = compiled(from + "RUN x\nCOPY --link --chmod=600 --chown=1:2 f /d/\n");
  CHECK(other.root->inputs()[1]->digest() == own->digest());
  CHECK(history(result).back() == "COPY --chown=1:2 --chmod=600 f /d/ # buildkit");
  // On nothing there is nothing to merge with.
  CHECK(files(compiled("FROM scratch\nCOPY --link f /\n").root).on_scratch);
}

TEST_CASE("Q3: --link with a named owner is an ordinary copy, and said so") {
  const Compiled result = compiled(from + "COPY --link --chown=app f /\n");
  CHECK_FALSE(files(result.root).on_scratch);
  CHECK_FALSE(action(result.root).replace_existing);
  CHECK(findings(result) ==
        Texts{"LinkWithNamedOwner@2: --link is left out: 'app' has to be looked "
              "up in the image's /etc/passwd"});
}

TEST_CASE("H10, catalogue 17, 18: heredocs are files of their own trees") {
  const Compiled result =
      compiled(from +
               "ARG v=1\nCOPY --chmod=700 --chown=5:6 <<X <<-\"Y\" /dest/\n\\$ \\\\ \"$v\"\nX\n"
               "\t\\$ $v\n\tY\n");
  REQUIRE(files(result.root).actions.size() == 2);
  const FileAction& first = action(result.root, 0);
  CHECK(first.source == "/X");
  CHECK(first.dest == "/dest/");
  CHECK(first.mode == 0700);
  CHECK(first.owner == graph::Owner{5, 6});
  CHECK_FALSE(first.allow_wildcard);
  const graph::NodeRef x = result.root->inputs().at(static_cast<size_t>(first.source_input));
  CHECK(files(x).on_scratch);
  CHECK(action(x).kind == FileAction::Kind::mkfile);
  CHECK(action(x).mode == 0644);
  CHECK(action(x).data == "$ \\ \"1\"\n");
  const FileAction& second = action(result.root, 1);
  const graph::NodeRef y = result.root->inputs().at(static_cast<size_t>(second.source_input));
  CHECK(action(y).data == "\\$ $v\n");
  CHECK(history(result).back() == "COPY --chown=5:6 --chmod=700 <<X <<Y /dest/ # buildkit");
  CHECK(result.context_paths.empty());
  CHECK(refusal(from + "COPY <<a/b /x\nc\na/b\n") ==
        "4 | Dockerfile:2:1: the heredoc's name 'a/b' cannot be the name of a file | it becomes a "
        "file of that name: use a plain word such as EOF");
  CHECK(refusal(from + "COPY <<E /x\n${y:?no}\nE\n").find("4 | Dockerfile:3:1: y: no") == 0);
}

TEST_CASE("C18, catalogue 51: ADD unpacks local archives, COPY never, --unpack decides") {
  CHECK(copy("ADD t.tar.gz /").unpack);
  CHECK_FALSE(copy("COPY t.tar.gz /").unpack);
  CHECK_FALSE(copy("ADD --unpack=false t.tar.gz /").unpack);
  CHECK_FALSE(copy("ADD http://h/t.tar.gz /").unpack);
  CHECK(copy("ADD --unpack=true http://h/t.tar.gz /").unpack);
}

TEST_CASE("C20, catalogue 54: a URL is a download and a copy") {
  const std::string sum = "sha256:" + std::string(64, 'b');
  const Compiled result =
      compiled(from + "ADD --checksum=" + sum + " https://h.example/p/a%20b.txt?x=1#y /d/\n");
  REQUIRE(result.root->inputs().size() == 2);
  const auto& http = std::get<graph::HttpOp>(result.root->inputs()[1]->op());
  CHECK(http.url == "https://h.example/p/a%20b.txt?x=1#y");
  CHECK(http.filename == "a b.txt");
  CHECK(http.checksum == sum);
  CHECK(http.mode == 0600);
  CHECK(http.last_modified);
  CHECK(action(result.root).source == "/a b.txt");
  CHECK(action(result.root).dest == "/d/");
  CHECK_FALSE(action(result.root).allow_wildcard);
  for (const char* url : {"http://h/", "http://h", "http://h/?x", "http://h/..", "http://h/%2F"})
    CHECK(http_filename(url) == "__unnamed__");
  CHECK(http_filename("http://h/a/b/") == "b");
}

TEST_CASE("threat 15: credentials of a URL reach the fetch alone") {
  const Compiled result = compiled(from + "ADD https://me:pass@h.example/f?token=tok /d\n");
  CHECK(std::get<graph::HttpOp>(result.root->inputs()[1]->op()).url ==
        "https://me:pass@h.example/f?token=tok");
  const std::string shown = "https://h.example/f?token=[redacted]";
  CHECK(history(result).back() == "ADD " + shown + " /d # buildkit");
  CHECK(titles(result).back() == "[2/2] ADD " + shown + " /d");
  CHECK(result.root->inputs()[1]->description().title.find("pass") == std::string::npos);
}

TEST_CASE("C21: git sources, by their many forms") {
  const auto git = [](const std::string& source) {
    const std::optional<GitSource> found = parse_git_source(source);
    if (!found) return std::string("none");
    const graph::GitOp& op = found->op;
    std::string told = op.url;
    if (!op.ref.empty()) told += " ref=" + op.ref;
    if (!op.subdir.empty()) told += " sub=" + op.subdir;
    if (!op.checksum.empty()) told += " sum=" + op.checksum;
    if (found->keep_git_dir) told += fmt::format(" keep={}", *found->keep_git_dir);
    if (!op.submodules) told += " flat";
    return told;
  };
  CHECK(git("git@h.example:o/r.git#v1:a/../b") == "git@h.example:o/r.git ref=v1 sub=b");
  CHECK(git("ssh://git@h.example/r") == "ssh://git@h.example/r");
  CHECK(git("git://h.example/r#main") == "git://h.example/r ref=main");
  CHECK(git("https://h.example/r.git") == "https://h.example/r.git");
  CHECK(git("https://h.example/r.git?branch=b&subdir=../../s") ==
        "https://h.example/r.git ref=refs/heads/b sub=s");
  CHECK(git("https://h.example/r.git?tag=v1#refs/tags/v1") ==
        "https://h.example/r.git ref=refs/tags/v1");
  CHECK(git("https://h.example/r.git?keep-git-dir=1&submodules=false&commit=abc") ==
        "https://h.example/r.git sum=abc keep=true flat");
  CHECK(git("https://h.example/r.git?ref=main&fetch-by-commit&checksum=" + std::string(40, 'a')) ==
        "https://h.example/r.git ref=" + std::string(40, 'a') + " sum=" + std::string(40, 'a'));
  CHECK(git("https://h.example/r") == "none");
  CHECK(git("https://h.example/r.git/x") == "none");
  CHECK(git("github.com/o/r") == "none");
  CHECK(git("file:///srv/r.git") == "none");
  CHECK(git("./git@h:x") == "none");
  CHECK(git("dir/a@b:c") == "none");
  CHECK(git("a b@c:d") == "none");
}

TEST_CASE("C21, threat 13: git sources that contradict themselves or mean something else") {
  const auto add = [](const std::string& query) {
    return refusal(from + "ADD https://h.example/r.git" + query + " /d\n");
  };
  const std::string at = "4 | Dockerfile:2:5: the git source ";
  CHECK(add("?nope=1").find(at + "has the unknown key 'nope'") == 0);
  CHECK(add("?subdri=1") == at + "has the unknown key 'subdri' | did you mean 'subdir'?");
  CHECK(add("?ref=a&ref=b") == at + "has the key 'ref' twice");
  CHECK(add("?ref=a#b") == at + "names two refs: 'b' and 'a'");
  CHECK(add("?tag=a&branch=b") == at + "names a branch and a tag");
  CHECK(add("?ref") == at + "has the key 'ref' without a value");
  CHECK(add("?submodules=maybe") == at + "has 'submodules=maybe', which is neither true nor false");
  CHECK(add("?mtime=now") == at + "has 'mtime=now'; it is checkout or commit");
  CHECK(add("?mtime=commit").find("has 'mtime=commit', which is not supported") !=
        std::string::npos);
  CHECK(add("?commit=xyz") == at + "has the commit 'xyz', which is not hexadecimal");
  CHECK(add("?fetch-by-commit&commit=abc") == at + "has 'fetch-by-commit' without a whole commit");
  CHECK(add("#--upload-pack=x") == at + "has an impossible ref: '--upload-pack=x'");
  CHECK(add("#a%0Ab").find("has an impossible ref") != std::string::npos);
}

TEST_CASE("catalogue 55, 56: --checksum, --keep-git-dir") {
  const Compiled result =
      compiled(from + "ADD --keep-git-dir --checksum=DeadBeef https://h.example/r.git#v1 /d\n");
  const auto& git = std::get<graph::GitOp>(result.root->inputs()[1]->op());
  CHECK(git.checksum == "deadbeef");
  CHECK(git.keep_git_dir);
  CHECK(git.submodules);
  CHECK(action(result.root).source == "/");
  CHECK(action(result.root).contents);
  const std::string hex(64, 'a');
  CHECK(copy_refusal("ADD --checksum=sha256:" + hex + " f /d") ==
        "4 | Dockerfile:2:16: --checksum is for URLs and git repositories | files of the context "
        "are compared by their content anyway");
  CHECK(copy_refusal("ADD --checksum=md5:" + hex + " http://h/f /d").find("is of no known kind") !=
        std::string::npos);
  CHECK(copy_refusal("ADD --checksum=" + hex + " http://h/f /d").find("is of no known kind") !=
        std::string::npos);
  CHECK(copy_refusal("ADD --checksum=sha256:abc http://h/f /d")
            .find("--checksum=sha256:abc is no digest") != std::string::npos);
  CHECK(copy_refusal("ADD --checksum=sha256:" + hex + " http://h/f http://h/g /d/") ==
        "4 | Dockerfile:2:16: --checksum is for a single source | write an ADD for each source");
  CHECK(copy_refusal("ADD --checksum=nothex! https://h.example/r.git /d")
            .find("--checksum=nothex! is no commit") != std::string::npos);
  CHECK(copy_refusal("ADD --checksum=aa https://h.example/r.git?commit=bb /d")
            .find("the URL's commit 'bb' contradicts --checksum=aa") != std::string::npos);
  CHECK(copy_refusal("ADD --keep-git-dir=false https://h.example/r.git?keep-git-dir=1 /d")
            .find("the URL's keep-git-dir contradicts --keep-git-dir") != std::string::npos);
  CHECK(std::get<graph::HttpOp>(
            compiled(from + "ARG h=" + hex + "\nADD --checksum=sha256:$h http://h/f /d\n")
                .root->inputs()
                .at(1)
                ->op())
            .checksum == "sha256:" + hex);
}

TEST_CASE("C1: COPY takes no URLs and no git repositories") {
  for (const char* source : {"http://h/f", "https://h.example/r.git", "git@h:r"})
    CHECK(
        copy_refusal(fmt::format("COPY {} /d", source)) ==
        "4 | Dockerfile:2:6: COPY takes files of the context, of stages and of images | ADD takes "
        "URLs and git repositories");
  CHECK(copy("ADD github.com/o/r /d").source == "/github.com/o/r");
}

TEST_CASE("catalogue 34: --from takes no variables") {
  CHECK(copy_refusal("ARG X=a\nCOPY --from=$X . .")
            .find("4 | Dockerfile:3:13: --from=$X holds a variable or quotes | give the image a "
                  "name with its own stage") == 0);
}

TEST_CASE("C22: a file that the ignore file hides is told") {
  Given given;
  given.options.ignored = [](const std::string& path) { return path == "secret/key"; };
  CHECK(findings(given.compile(from + "COPY ./secret/key /k\nCOPY . /\nADD secret /x\n")) ==
        Texts{"CopyIgnoredFile@2: './secret/key' is hidden by the ignore file"});
  CHECK(findings(given.compile("FROM a AS s\nFROM a\nCOPY --from=s secret/key /k\n")).empty());
}

TEST_CASE("C23: what is read of the context is known") {
  CHECK(compiled("FROM a AS s\nCOPY unused /\nFROM a AS t\nCOPY dir/*.go ./go.mod /\n"
                 "FROM b\nCOPY --from=t / /\nCOPY <<E /e\nE\nADD http://h/f /\n")
            .context_paths == std::set<std::string>{"/dir/*.go", "/go.mod"});
}

TEST_CASE("COPY --from copies from images, and from a stage that is empty") {
  const Compiled result = compiled(from + "COPY --from=busybox /bin/sh /sh\n");
  CHECK(std::holds_alternative<graph::ImageOp>(result.root->inputs().at(1)->op()));
  const Compiled empty = compiled("FROM scratch AS none\nFROM a\nCOPY --from=none / /\n");
  CHECK(files(empty.root->inputs().at(1)).actions.empty());
  // From the very image the stage stands on: one input, twice used.
  const Compiled same = compiled(from + "COPY --from=a /f /g\n");
  CHECK(same.root->inputs().size() == 1);
  CHECK(action(same.root).source_input == 0);
}

TEST_CASE("X1: operands in JSON form expand too") {
  CHECK(copy("ARG v=1\nCOPY [\"a b$v\", \"/x y/\"]").source == "/a b1");
}
