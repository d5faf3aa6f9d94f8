// SPDX-License-Identifier: Apache-2.0
#include "core/model/jinja/interpreter.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace tenpak::model::jinja {
namespace {

// A conversation of a thousand turns takes some ten thousand steps.
constexpr std::uint64_t kMaxSteps = 2'000'000, kLoopSteps = 16;
constexpr int kMaxDepth = 200, kMaxCalls = 40;

enum class Flow { kNext, kBreak, kContinue };
using Frame = std::map<std::string, Value, std::less<>>;

class Interpreter {
   public:
    explicit Interpreter(const RenderOptions& options) : options_(options) {}

    Result<std::string> run(const Body& body, const Dict& variables) {
        frames_.emplace_back();
        add_globals();
        for (const auto& [name, value] : variables) {
            if (name.is_string()) frames_[0][name.string()] = value;
        }
        std::string out;
        TENPAK_ASSIGN(const Flow flow, execute(body, out));
        (void)flow;
        return out;
    }

   private:
    Error at_line(Error e, std::size_t line) const {
        if (e.where.empty()) e.where = "line " + std::to_string(line);
        return e;
    }
    Status step(std::uint64_t n = 1) {
        if ((steps_ += n) > kMaxSteps) return template_error("it takes too many steps");
        return {};
    }
    Status check_size(const std::string& out) const {
        if (out.size() > kMaxText) return template_error("its text becomes longer than 16 MiB");
        return {};
    }
    struct Deeper {
        explicit Deeper(int& d) : depth(++d) {}
        ~Deeper() { --depth; }
        Deeper(const Deeper&) = delete;
        Deeper& operator=(const Deeper&) = delete;
        int& depth;
    };

    void add_globals() {
        Frame& g = frames_[0];
        g["range"] = Function([](const List& a, const Named&) -> Result<Value> {
            if (a.empty() || a.size() > 3 || std::any_of(a.begin(), a.end(), [](const Value& v) { return !v.is_int() && !v.is_bool(); })) return template_error("range takes one to three integers");
            const std::int64_t begin = a.size() > 1 ? a[0].integer() : 0, end = a.size() > 1 ? a[1].integer() : a[0].integer(), by = a.size() > 2 ? a[2].integer() : 1;
            if (by == 0) return template_error("range with a step of 0");
            List l;
            for (std::int64_t i = begin; by > 0 ? i < end : i > end;) {
                if (l.size() >= 100'000) return template_error("a range of more than 100000 numbers");  // the sandbox's own limit
                l.emplace_back(i);
                if (__builtin_add_overflow(i, by, &i)) break;
            }
            return Value(std::move(l));
        });
        g["dict"] = Function([](const List& a, const Named& named) -> Result<Value> {
            Dict d;
            if (!a.empty() && a[0].is_dict()) d = a[0].dict();
            for (const auto& [k, v] : named) d.emplace_back(k, v);
            return Value(std::move(d));
        });
        g["namespace"] = Function([](const List& a, const Named& named) -> Result<Value> {
            Dict d;
            if (!a.empty() && a[0].is_dict()) d = a[0].dict();
            for (const auto& [k, v] : named) d.emplace_back(k, v);
            return Value::make_namespace(std::move(d));
        });
        g["raise_exception"] = Function([](const List& a, const Named& named) -> Result<Value> {
            TENPAK_ASSIGN(const std::string message, to_text(argument(a, named, 0, "message")));
            return make_error(ErrorCode::kInvalidArgument, "the chat template refuses this conversation: " + message);
        });
        g["strftime_now"] = Function([this](const List& a, const Named&) -> Result<Value> {
            if (a.size() != 1 || !a[0].is_string() || a[0].string().size() > 200) return template_error("strftime_now takes a format");
            const std::time_t now = options_.now != 0 ? options_.now : std::time(nullptr);
            std::tm parts{};
            localtime_r(&now, &parts);
            char text[1024];
            const std::string format = a[0].string() + " ";  // so that a result of no characters can be told from a failure
            const std::size_t n = std::strftime(text, sizeof text, format.c_str(), &parts);
            if (n == 0) return template_error("strftime_now cannot use its format");
            return Value(std::string(text, n - 1));
        });
    }

    const Value* lookup(std::string_view name) const {
        for (auto f = frames_.rbegin(); f != frames_.rend(); ++f) {
            const auto it = f->find(name);
            if (it != f->end()) return &it->second;
        }
        return nullptr;
    }

    // --- statements ---

    Result<Flow> execute(const Body& body, std::string& out) {
        const Deeper deeper(depth_);
        if (depth_ > kMaxDepth) return template_error("it is nested too deep");
        for (const Statement& s : body) {
            TENPAK_RETURN_IF_ERROR(step());
            auto flow = execute(s, out);
            if (!flow.ok()) return at_line(std::move(flow).error(), s.line);
            TENPAK_RETURN_IF_ERROR(check_size(out));
            if (*flow != Flow::kNext) return *flow;
        }
        return Flow::kNext;
    }

    Result<Flow> execute(const Statement& s, std::string& out) {
        switch (s.kind) {
            case Statement::kText: out += s.text; return Flow::kNext;
            case Statement::kPrint: {
                TENPAK_ASSIGN(const Value v, evaluate(*s.expression));
                TENPAK_ASSIGN(const std::string text, to_text(v));
                out += text;
                return Flow::kNext;
            }
            case Statement::kIf:
                for (const auto& [condition, body] : s.branches) {
                    TENPAK_ASSIGN(const Value v, evaluate(*condition));
                    if (v.truthy()) return execute(body, out);
                }
                return execute(s.otherwise, out);
            case Statement::kFor: return loop(s, out);
            case Statement::kSet: {
                TENPAK_ASSIGN(const Value v, evaluate(*s.expression));
                TENPAK_RETURN_IF_ERROR(assign(s.target, v));
                return Flow::kNext;
            }
            case Statement::kSetBlock:
            case Statement::kFilterBlock: {
                TENPAK_ASSIGN(Value text, captured(s.body));
                if (s.expression) {
                    frames_.emplace_back()["\x01text"] = std::move(text);
                    auto filtered = evaluate(*s.expression);
                    frames_.pop_back();
                    if (!filtered.ok()) return std::move(filtered).error();
                    text = *filtered;
                }
                if (s.kind == Statement::kSetBlock) {
                    TENPAK_RETURN_IF_ERROR(assign(s.target, text));
                } else {
                    TENPAK_ASSIGN(const std::string printed, to_text(text));
                    out += printed;
                }
                return Flow::kNext;
            }
            case Statement::kMacro: frames_.back()[s.text] = macro(s, s.text); return Flow::kNext;
            case Statement::kCallBlock: {
                frames_.emplace_back()["caller"] = macro(s, "caller");
                auto v = evaluate(*s.expression);
                frames_.pop_back();
                if (!v.ok()) return std::move(v).error();
                TENPAK_ASSIGN(const std::string text, to_text(*v));
                out += text;
                return Flow::kNext;
            }
            case Statement::kGeneration: return execute(s.body, out);  // marks the assistant's text for training
            case Statement::kBreak: return Flow::kBreak;
            case Statement::kContinue: return Flow::kContinue;
        }
        return Flow::kNext;
    }

    /// What a body prints, in a scope of its own.
    Result<Value> captured(const Body& body) {
        std::string text;
        frames_.emplace_back();
        auto flow = execute(body, text);
        frames_.pop_back();
        if (!flow.ok()) return std::move(flow).error();
        return Value(std::move(text));
    }

    Status assign(const Target& target, const Value& v) {
        if (!target.attribute.empty()) {
            const Value* ns = lookup(target.names[0]);
            if (ns == nullptr || !ns->is_namespace()) return template_error("\"" + target.names[0] + "\" is no namespace");
            for (auto& [k, old] : ns->attributes()) {
                if (k.is_string() && k.string() == target.attribute) {
                    old = v;
                    return {};
                }
            }
            ns->attributes().emplace_back(target.attribute, v);
            return {};
        }
        if (!target.unpack) {
            frames_.back()[target.names[0]] = v;
            return {};
        }
        TENPAK_ASSIGN(const List items, items_of(v));
        if (items.size() != target.names.size()) return template_error("a value of " + std::to_string(items.size()) + " parts for " + std::to_string(target.names.size()) + " names");
        for (std::size_t i = 0; i < items.size(); ++i) frames_.back()[target.names[i]] = items[i];
        return {};
    }

    Result<Flow> loop(const Statement& s, std::string& out) {
        TENPAK_ASSIGN(const Value over, evaluate(*s.expression));
        TENPAK_ASSIGN(List items, items_of(over));
        TENPAK_RETURN_IF_ERROR(step(items.size()));
        if (s.condition) {
            List kept;
            for (const Value& item : items) {
                TENPAK_RETURN_IF_ERROR(step());
                frames_.emplace_back();
                const Status assigned = assign(s.target, item);
                auto v = assigned.ok() ? evaluate(*s.condition) : Result<Value>(assigned.error());
                frames_.pop_back();
                if (!v.ok()) return std::move(v).error();
                if (v->truthy()) kept.push_back(item);
            }
            items = std::move(kept);
        }
        if (items.empty()) return execute(s.otherwise, out);
        auto changed = std::make_shared<List>();
        for (std::size_t i = 0; i < items.size(); ++i) {
            TENPAK_RETURN_IF_ERROR(step(kLoopSteps));
            Frame& frame = frames_.emplace_back();
            frame["loop"] = loop_variable(items, i, changed);
            const Status assigned = assign(s.target, items[i]);
            auto flow = assigned.ok() ? execute(s.body, out) : Result<Flow>(assigned.error());
            frames_.pop_back();
            if (!flow.ok()) return std::move(flow).error();
            if (*flow == Flow::kBreak) break;
        }
        return Flow::kNext;
    }

    static Value loop_variable(const List& items, std::size_t i, const std::shared_ptr<List>& changed) {
        const auto n = static_cast<std::int64_t>(items.size()), k = static_cast<std::int64_t>(i);
        Dict d;
        d.emplace_back("index", k + 1);
        d.emplace_back("index0", k);
        d.emplace_back("revindex", n - k);
        d.emplace_back("revindex0", n - k - 1);
        d.emplace_back("first", k == 0);
        d.emplace_back("last", k + 1 == n);
        d.emplace_back("length", n);
        d.emplace_back("depth", std::int64_t{1});
        d.emplace_back("depth0", std::int64_t{0});
        if (k > 0) d.emplace_back("previtem", items[i - 1]);
        if (k + 1 < n) d.emplace_back("nextitem", items[i + 1]);
        d.emplace_back("cycle", Function([k](const List& a, const Named&) -> Result<Value> {
                           if (a.empty()) return template_error("loop.cycle without values");
                           return a[static_cast<std::size_t>(k) % a.size()];
                       }));
        d.emplace_back("changed", Function([changed](const List& a, const Named&) -> Result<Value> {
                           const bool same = changed->size() == a.size() && std::equal(a.begin(), a.end(), changed->begin(), [](const Value& x, const Value& y) { return x.equals(y); });
                           *changed = a;
                           return Value(!same);
                       }));
        return Value::make_namespace(std::move(d));
    }

    /// The statement belongs to the tree, which outlives the rendering.
    Value macro(const Statement& s, const std::string& name) {
        return Function([this, &s, name](const List& a, const Named& named) -> Result<Value> {
            const Deeper deeper(calls_);
            if (calls_ > kMaxCalls) return template_error("macros call each other too deep");
            // A macro sees the template's own variables, not those of where it is called from.
            std::vector<Frame> hidden(std::make_move_iterator(frames_.begin() + 1), std::make_move_iterator(frames_.end()));
            frames_.resize(1);
            Frame locals;
            Status bound;
            for (std::size_t i = 0; i < s.parameters.size() && bound.ok(); ++i) {
                const Parameter& p = s.parameters[i];
                Value v = argument(a, named, i, p.name.c_str());
                const bool given = i < a.size() || std::any_of(named.begin(), named.end(), [&](const auto& x) { return x.first == p.name; });
                if (!given && p.fallback) {
                    frames_.push_back(locals);
                    auto fallback = evaluate(*p.fallback);
                    frames_.pop_back();
                    if (fallback.ok()) v = *fallback;
                    else bound = fallback.error();
                } else if (!given) {
                    v = Undefined{p.name};
                }
                locals[p.name] = std::move(v);
            }
            if (bound.ok() && a.size() > s.parameters.size()) bound = template_error("macro \"" + name + "\" is given too many arguments");
            if (const Value caller = argument({}, named, 0, "caller"); !caller.is_undefined()) locals["caller"] = caller;
            frames_.push_back(std::move(locals));
            std::string text;
            auto flow = bound.ok() ? execute(s.body, text) : Result<Flow>(bound.error());
            frames_.resize(1);
            std::move(hidden.begin(), hidden.end(), std::back_inserter(frames_));
            if (!flow.ok()) return std::move(flow).error();
            return Value(std::move(text));
        });
    }

    // --- expressions ---

    Result<Value> evaluate(const Expression& e) {
        const Deeper deeper(depth_);
        if (depth_ > kMaxDepth) return template_error("it is nested too deep");
        TENPAK_RETURN_IF_ERROR(step());
        switch (e.kind) {
            case Expression::kLiteral: return e.literal;
            case Expression::kName: {
                const Value* v = lookup(e.name);
                return v != nullptr ? *v : Value(Undefined{e.name});
            }
            case Expression::kList:
            case Expression::kTuple: {
                List l;
                for (const auto& p : e.parts) {
                    TENPAK_ASSIGN(Value v, evaluate(*p));
                    l.push_back(std::move(v));
                }
                return Value(std::move(l), e.kind == Expression::kTuple);
            }
            case Expression::kDict: return dict(e);
            case Expression::kAttribute: {
                TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
                return attribute_of(v, e.name);
            }
            case Expression::kItem: {
                TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
                TENPAK_ASSIGN(const Value key, evaluate(*e.parts[1]));
                return item_of(v, key);
            }
            case Expression::kSlice: return slice(e);
            case Expression::kCall: return call(e);
            case Expression::kFilter: return filter(e);
            case Expression::kTest: return test(e);
            case Expression::kUnary: return unary(e);
            case Expression::kBinary: return binary(e);
            case Expression::kCompare: return comparison(e);
            case Expression::kCondition: {
                TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
                if (v.truthy()) return evaluate(*e.parts[1]);
                return e.parts[2] ? evaluate(*e.parts[2]) : Result<Value>(Value(Undefined{"the else of an if"}));
            }
        }
        return template_error("an unknown expression");
    }

    Result<Value> dict(const Expression& e) {
        Dict d;
        for (std::size_t i = 0; i + 1 < e.parts.size(); i += 2) {
            TENPAK_ASSIGN(Value key, evaluate(*e.parts[i]));
            TENPAK_ASSIGN(Value v, evaluate(*e.parts[i + 1]));
            const auto it = std::find_if(d.begin(), d.end(), [&](const auto& x) { return x.first.equals(key); });
            if (it != d.end()) it->second = std::move(v);
            else d.emplace_back(std::move(key), std::move(v));
        }
        return Value(std::move(d));
    }

    Status arguments(const Expression& e, List& positional, Named& named) {
        for (const Argument& a : e.arguments) {
            TENPAK_ASSIGN(Value v, evaluate(*a.value));
            if (a.name.empty()) positional.push_back(std::move(v));
            else named.emplace_back(a.name, std::move(v));
        }
        return {};
    }

    Result<Value> call(const Expression& e) {
        TENPAK_ASSIGN(const Value f, evaluate(*e.parts[0]));
        if (!f.is_function()) {
            if (f.is_undefined()) return template_error("\"" + f.undefined().name + "\" is undefined and cannot be called");
            return template_error(std::string("a ") + f.type_name() + " cannot be called");
        }
        List positional;
        Named named;
        TENPAK_RETURN_IF_ERROR(arguments(e, positional, named));
        if (e.parts[0]->kind == Expression::kName) {  // {% call %}: what the macro finds as caller()
            const auto it = frames_.back().find("caller");
            if (it != frames_.back().end() && frames_.back().size() == 1) named.emplace_back("caller", it->second);
        }
        return f.function()(positional, named);
    }

    Result<Value> filter(const Expression& e) {
        TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
        List positional;
        Named named;
        TENPAK_RETURN_IF_ERROR(arguments(e, positional, named));
        return apply_filter(e.name, v, positional, named);
    }

    Result<Value> test(const Expression& e) {
        TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
        List positional;
        Named named;
        TENPAK_RETURN_IF_ERROR(arguments(e, positional, named));
        TENPAK_ASSIGN(const bool holds, apply_test(e.name, v, positional));
        return Value(holds != e.negated);
    }

    Result<Value> unary(const Expression& e) {
        TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
        if (e.name == "not") return Value(!v.truthy());
        if (!v.is_number()) return template_error(std::string("a ") + v.type_name() + " has no sign");
        if (e.name == "+") return v;
        if (v.is_float()) return Value(-v.number());
        if (v.integer() == INT64_MIN) return template_error("a number is too large");
        return Value(-v.integer());
    }

    Result<Value> binary(const Expression& e) {
        TENPAK_ASSIGN(const Value a, evaluate(*e.parts[0]));
        if (e.name == "and") return a.truthy() ? evaluate(*e.parts[1]) : Result<Value>(a);
        if (e.name == "or") return a.truthy() ? Result<Value>(a) : evaluate(*e.parts[1]);
        TENPAK_ASSIGN(const Value b, evaluate(*e.parts[1]));
        if (e.name == "~") {
            TENPAK_ASSIGN(std::string text, to_text(a));
            TENPAK_ASSIGN(const std::string more, to_text(b));
            text += more;
            TENPAK_RETURN_IF_ERROR(check_size(text));
            return Value(std::move(text));
        }
        return arithmetic(e.name, a, b);
    }

    Result<Value> arithmetic(const std::string& op, const Value& a, const Value& b) {
        for (const Value* v : {&a, &b}) {
            if (v->is_undefined()) return template_error("\"" + v->undefined().name + "\" is undefined");
        }
        const auto impossible = [&] { return template_error(std::string(a.type_name()) + " " + op + " " + b.type_name() + " is not possible"); };
        if (op == "+" && a.is_string() && b.is_string()) {
            std::string text = a.string() + b.string();
            TENPAK_RETURN_IF_ERROR(check_size(text));
            made_ += text.size();
            if (made_ > 64 * kMaxText) return template_error("it makes too much text");
            return Value(std::move(text));
        }
        if (op == "+" && a.is_list() && b.is_list() && a.is_tuple() == b.is_tuple()) {
            List l = a.list();
            l.insert(l.end(), b.list().begin(), b.list().end());
            if (l.size() > kMaxItems) return template_error("a list becomes too long");
            TENPAK_RETURN_IF_ERROR(step(l.size()));
            return Value(std::move(l), a.is_tuple());
        }
        if (op == "*" && ((a.is_string() && b.is_int()) || (a.is_int() && b.is_string()))) {
            const std::string& text = a.is_string() ? a.string() : b.string();
            const std::int64_t times = std::max<std::int64_t>(0, a.is_int() ? a.integer() : b.integer());
            if (!text.empty() && static_cast<std::uint64_t>(times) > kMaxText / text.size()) return template_error("a text becomes longer than 16 MiB");
            std::string out;
            for (std::int64_t i = 0; i < times && !text.empty(); ++i) out += text;
            return Value(std::move(out));
        }
        if (!a.is_number() || !b.is_number()) return impossible();
        if (op == "/" || op == "//" || op == "%") {
            if (b.number() == 0) return template_error("a division by zero");
        }
        if (op == "/") return Value(a.number() / b.number());
        if (a.is_float() || b.is_float()) {
            const double x = a.number(), y = b.number();
            if (op == "+") return Value(x + y);
            if (op == "-") return Value(x - y);
            if (op == "*") return Value(x * y);
            if (op == "//") return Value(std::floor(x / y));
            if (op == "%") return Value(x - y * std::floor(x / y));
            return Value(std::pow(x, y));
        }
        const std::int64_t x = a.integer(), y = b.integer();
        std::int64_t r = 0;
        bool over = false;
        if (op == "+") over = __builtin_add_overflow(x, y, &r);
        else if (op == "-") over = __builtin_sub_overflow(x, y, &r);
        else if (op == "*") over = __builtin_mul_overflow(x, y, &r);
        else if (op == "**") {
            if (y < 0) return Value(std::pow(static_cast<double>(x), static_cast<double>(y)));
            r = 1;
            for (std::int64_t i = 0; i < y && !over && !(x == 1 || x == 0); ++i) over = __builtin_mul_overflow(r, x, &r);
            if (x == 0 && y > 0) r = 0;
        } else if (x == INT64_MIN && y == -1) over = true;
        else {  // towards minus infinity
            const std::int64_t q = x / y, rest = x % y;
            const bool down = rest != 0 && ((rest < 0) != (y < 0));
            r = op == "//" ? q - (down ? 1 : 0) : rest + (down ? y : 0);
        }
        if (over) return template_error("a number is too large");
        return Value(r);
    }

    Result<Value> comparison(const Expression& e) {
        TENPAK_ASSIGN(Value left, evaluate(*e.parts[0]));
        for (std::size_t i = 0; i < e.operators.size(); ++i) {
            TENPAK_ASSIGN(Value right, evaluate(*e.parts[i + 1]));
            const std::string& op = e.operators[i];
            bool holds = false;
            if (op == "==" || op == "!=") {
                holds = left.equals(right) == (op == "==");
            } else if (op == "in" || op == "not in") {
                TENPAK_ASSIGN(const bool inside, contains(right, left));
                holds = inside == (op == "in");
            } else {
                TENPAK_ASSIGN(const int c, compare(left, right));
                holds = op == "<" ? c < 0 : op == "<=" ? c <= 0 : op == ">" ? c > 0 : c >= 0;
            }
            if (!holds) return Value(false);
            left = std::move(right);
        }
        return Value(true);
    }

    Result<Value> slice(const Expression& e) {
        TENPAK_ASSIGN(const Value v, evaluate(*e.parts[0]));
        std::optional<std::int64_t> bound[3];
        for (std::size_t i = 0; i < 3; ++i) {
            if (!e.parts[i + 1]) continue;
            TENPAK_ASSIGN(const Value b, evaluate(*e.parts[i + 1]));
            if (b.is_none()) continue;
            if (!b.is_int() && !b.is_bool()) return template_error("a slice by something that is no integer");
            bound[i] = std::clamp<std::int64_t>(b.integer(), -(1LL << 40), 1LL << 40);
        }
        if (!v.is_string() && !v.is_list()) return template_error(std::string("a ") + v.type_name() + " cannot be sliced");
        const auto characters = v.is_string() ? characters_of(v.string()) : std::vector<std::string_view>();
        const auto n = static_cast<std::int64_t>(v.is_string() ? characters.size() : v.list().size());
        const std::int64_t by = bound[2].value_or(1);
        if (by == 0) return template_error("a slice with a step of 0");
        const auto place = [&](std::optional<std::int64_t> b, std::int64_t fallback) {
            if (!b) return fallback;
            std::int64_t p = *b < 0 ? *b + n : *b;
            return by > 0 ? std::clamp<std::int64_t>(p, 0, n) : std::clamp<std::int64_t>(p, -1, n - 1);
        };
        const std::int64_t begin = place(bound[0], by > 0 ? 0 : n - 1), end = place(bound[1], by > 0 ? n : -1);
        std::string text;
        List l;
        for (std::int64_t i = begin; by > 0 ? i < end : i > end; i += by) {
            if (v.is_string()) text += characters[static_cast<std::size_t>(i)];
            else l.push_back(v.list()[static_cast<std::size_t>(i)]);
        }
        return v.is_string() ? Value(std::move(text)) : Value(std::move(l), v.is_tuple());
    }

    const RenderOptions& options_;
    std::vector<Frame> frames_;
    std::uint64_t steps_ = 0, made_ = 0;
    int depth_ = 0, calls_ = 0;
};

}  // namespace

Result<std::string> render(const Body& body, const Dict& variables, const RenderOptions& options) { return Interpreter(options).run(body, variables); }

Value argument(const List& arguments, const Named& named, std::size_t index, const char* name) {
    if (index < arguments.size()) return arguments[index];
    for (const auto& [n, v] : named) {
        if (n == name) return v;
    }
    return Undefined{name};
}

}  // namespace tenpak::model::jinja
