// SPDX-License-Identifier: Apache-2.0
// Values of a template: Python's, as far as chat templates see them.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/base/json.h"

namespace tenpak::model::jinja {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<Value, Value>>;  // in order of insertion
using Named = std::vector<std::pair<std::string, Value>>;
/// A function of the template's or of the program's.
using Function = std::function<Result<Value>(const List& arguments, const Named& named)>;

struct Undefined {
    std::string name;  ///< for the error that its use gives
};
struct None {};

/// Cheap to copy: containers are shared, and changed by nobody once made, but for a namespace's attributes.
class Value {
   public:
    Value() : v_(Undefined{}) {}
    Value(Undefined u) : v_(std::move(u)) {}                                     // NOLINT(google-explicit-constructor)
    Value(None n) : v_(n) {}                                                     // NOLINT(google-explicit-constructor)
    Value(bool b) : v_(b) {}                                                     // NOLINT(google-explicit-constructor)
    Value(std::int64_t i) : v_(i) {}                                             // NOLINT(google-explicit-constructor)
    Value(double d) : v_(d) {}                                                   // NOLINT(google-explicit-constructor)
    Value(std::string s) : v_(std::make_shared<const std::string>(std::move(s))) {}  // NOLINT(google-explicit-constructor)
    Value(const char* s) : Value(std::string(s)) {}                              // NOLINT(google-explicit-constructor)
    Value(List l, bool tuple = false) : v_(std::make_shared<const List>(std::move(l))), tuple_(tuple) {}  // NOLINT(google-explicit-constructor)
    Value(Dict d) : v_(std::make_shared<const Dict>(std::move(d))) {}            // NOLINT(google-explicit-constructor)
    Value(Function f) : v_(std::make_shared<const Function>(std::move(f))) {}    // NOLINT(google-explicit-constructor)
    static Value make_namespace(Dict d) {
        Value v;
        v.v_ = std::make_shared<Dict>(std::move(d));
        return v;
    }
    static Value from_json(const OrderedJson& j);

    bool is_undefined() const { return std::holds_alternative<Undefined>(v_); }
    bool is_none() const { return std::holds_alternative<None>(v_); }
    bool is_bool() const { return std::holds_alternative<bool>(v_); }
    bool is_int() const { return std::holds_alternative<std::int64_t>(v_); }
    bool is_float() const { return std::holds_alternative<double>(v_); }
    bool is_number() const { return is_int() || is_float() || is_bool(); }
    bool is_string() const { return std::holds_alternative<std::shared_ptr<const std::string>>(v_); }
    bool is_list() const { return std::holds_alternative<std::shared_ptr<const List>>(v_); }
    bool is_dict() const { return std::holds_alternative<std::shared_ptr<const Dict>>(v_); }
    bool is_function() const { return std::holds_alternative<std::shared_ptr<const Function>>(v_); }
    bool is_namespace() const { return std::holds_alternative<std::shared_ptr<Dict>>(v_); }
    bool is_tuple() const { return is_list() && tuple_; }

    const Undefined& undefined() const { return std::get<Undefined>(v_); }
    std::int64_t integer() const { return is_bool() ? std::int64_t{std::get<bool>(v_)} : std::get<std::int64_t>(v_); }  ///< of an int or a bool
    double number() const { return is_float() ? std::get<double>(v_) : static_cast<double>(integer()); }
    const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(v_); }
    const List& list() const { return *std::get<std::shared_ptr<const List>>(v_); }
    const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(v_); }
    const Function& function() const { return *std::get<std::shared_ptr<const Function>>(v_); }
    Dict& attributes() const { return *std::get<std::shared_ptr<Dict>>(v_); }  ///< of a namespace

    bool truthy() const;
    bool equals(const Value& other) const;
    /// "str", "int", … as Python names it.
    const char* type_name() const;
    const Value* find(const Value& key) const;  ///< in a dict or a namespace; null: not there
    bool same_object(const Value& other) const;

   private:
    std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>, std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<const Function>,
                 std::shared_ptr<Dict>>
        v_;
    bool tuple_ = false;
};

/// str(v): what {{ v }} prints. kMalformed: deeper or larger than what a template may make.
Result<std::string> to_text(const Value& v);
/// repr(v)
Result<std::string> to_repr(const Value& v);
struct JsonStyle {
    int indent = -1;  ///< -1: on one line
    bool ascii = false, sort_keys = false;
    std::string item_separator, key_separator = ": ";  ///< item_separator empty: Python's default
};
/// json.dumps(v, …)
Result<std::string> to_json(const Value& v, const JsonStyle& style);
/// -1, 0, 1; kMalformed when the two cannot be ordered.
Result<int> compare(const Value& a, const Value& b);

// Text by characters, not bytes.
std::size_t character_count(std::string_view s);
std::vector<std::string_view> characters_of(std::string_view s);
std::string upper_text(std::string_view s);
std::string lower_text(std::string_view s);

constexpr std::size_t kMaxText = 16u << 20, kMaxItems = 1'000'000;
Error template_error(std::string what);

}  // namespace tenpak::model::jinja
