// SPDX-License-Identifier: Apache-2.0
// Renders a template's syntax tree. Bounded: steps, depth and the size of what is made.
#pragma once
#include <ctime>
#include <string>

#include "core/model/jinja/syntax.h"

namespace tenpak::model::jinja {

struct RenderOptions {
    std::time_t now = 0;  ///< what strftime_now tells; 0: the clock's
};
/// kMalformed: the template fails, or takes too much. kInvalidArgument: it refuses what it was given (raise_exception).
Result<std::string> render(const Body& body, const Dict& variables, const RenderOptions& options = {});

// What expressions are made of; arguments as written in the template.
Result<Value> apply_filter(const std::string& name, const Value& value, const List& arguments, const Named& named);
Result<bool> apply_test(const std::string& name, const Value& value, const List& arguments);
/// value.name(…) of strings, dicts and lists; undefined when there is no such method.
Value find_method(const Value& value, const std::string& name);
/// Items of a list, keys of a dict, characters of a string.
Result<List> items_of(const Value& value);
Result<Value> attribute_of(const Value& value, const std::string& name);
Result<Value> item_of(const Value& value, const Value& key);
Result<bool> contains(const Value& container, const Value& item);
/// The argument at `index`, or of this name; undefined when not given.
Value argument(const List& arguments, const Named& named, std::size_t index, const char* name);

}  // namespace tenpak::model::jinja
