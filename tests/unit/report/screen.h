// A very small terminal: what the live view may send, and what a person would see of it.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

class Screen {
 public:
  Screen(size_t columns, size_t rows) : columns_(columns), cells_(rows) {}

  void feed(const std::string& bytes) {
    for (const char c : bytes) put(c);
  }

  /// Rows without blanks at their ends, from the first to the last that is not empty; scrolled ones
  /// come first.
  std::string text() const {
    std::string all = scrolled_;
    size_t last = 0;
    for (size_t i = 0; i < cells_.size(); ++i)
      if (!trimmed(cells_[i]).empty()) last = i + 1;
    for (size_t i = 0; i < last; ++i) all += trimmed(cells_[i]) + "\n";
    return all;
  }
  size_t row() const { return row_; }
  size_t column() const { return column_; }

 private:
  static std::string trimmed(const std::string& row) {
    return row.substr(0, row.find_last_not_of(' ') + 1);
  }

  void down() {
    if (row_ + 1 < cells_.size()) {
      ++row_;
      return;
    }
    scrolled_ += trimmed(cells_.front()) + "\n";
    cells_.erase(cells_.begin());
    cells_.emplace_back();
  }

  void put(char c) {
    if (!escape_.empty() || c == '\x1b') return escape(c);
    if (c == '\r') {
      column_ = 0;
    } else if (c == '\n') {
      down();
      column_ = 0;  // ONLCR
    } else {
      if (column_ == columns_) {
        down();
        column_ = 0;
      }
      cells_[row_].resize(std::max(cells_[row_].size(), column_ + 1), ' ');
      cells_[row_][column_++] = c;
    }
  }

  void escape(char c) {
    escape_ += c;
    if (escape_.size() < 2 || escape_ == "\x1b[") return;
    if (escape_[1] == '[' && (c < '@' || c > '~')) return;
    const std::string sequence = escape_.substr(1);
    escape_.clear();
    if (sequence == "7") {
      saved_row_ = row_;
      saved_column_ = column_;
    } else if (sequence == "8") {
      row_ = saved_row_;
      column_ = saved_column_;
    } else if (sequence == "D") {
      down();
    } else if (sequence == "[A") {
      row_ -= row_ > 0 ? 1 : 0;
    } else if (sequence == "[B") {
      row_ += row_ + 1 < cells_.size() ? 1 : 0;
    } else if (sequence == "[J") {
      cells_[row_].resize(std::min(cells_[row_].size(), column_));
      for (size_t i = row_ + 1; i < cells_.size(); ++i) cells_[i].clear();
    } else if (!sequence.ends_with('m')) {
      throw std::runtime_error("unknown sequence " + sequence);
    }
  }

  size_t columns_;
  std::vector<std::string> cells_;
  std::string scrolled_, escape_;
  size_t row_ = 0, column_ = 0, saved_row_ = 0, saved_column_ = 0;
};
