// SPDX-License-Identifier: Apache-2.0
// tenpak inspect and tenpak artifact as a user runs them: keys, exit codes, one-line errors, nothing left behind.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "core/base/file.h"
#include "core/base/json.h"
#include "tests/support/run_program.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::TempDir;

class ArtifactCli : public testing::Test {
   protected:
    void SetUp() override {
        setenv("XDG_CONFIG_HOME", (home_ / "config").c_str(), 1);
        setenv("XDG_CACHE_HOME", (home_ / "cache").c_str(), 1);
        write_model("m", 1);
        write_model("base", 7);
    }
    void write_model(const std::string& name, unsigned seed) {
        dir_.write(name + "/model.safetensors", test::small_safetensors({{"model.embed_tokens.weight", 300}, {"model.layers.0.mlp.up_proj.weight", 200}, {"model.norm.weight", 20}}, name == "base" ? 1 : seed, name == "base"));
        dir_.write(name + "/config.json", R"({"architectures":["LlamaForCausalLM"]})");
    }
    struct Outcome {
        int code = -1;
        std::string out, err;
        Json json;
    };
    Outcome tenpak(std::vector<std::string> args) {
        args.insert(args.begin(), {"--quiet", "--json"});
        const auto r = test::tenpak(args);
        Outcome o{r.code, r.out, r.err, {}};
        if (auto j = parse_json(o.out, "stdout"); j.ok()) o.json = std::move(*j);
        return o;
    }
    Json done(const std::vector<std::string>& args, const std::vector<std::string>& keys) {
        const Outcome o = tenpak(args);
        EXPECT_EQ(o.code, 0) << args[1] << ": " << o.err;
        for (const auto& k : keys) EXPECT_TRUE(o.json.contains(k)) << args[1] << " has no key " << k;
        return o.json;
    }
    Outcome refused(const std::vector<std::string>& args, int code, const std::string& name) {
        const auto before = entries();
        const Outcome o = tenpak(args);
        EXPECT_EQ(o.code, code) << o.err;
        EXPECT_TRUE(o.err.starts_with("tenpak: error[" + name + "]: ")) << o.err;
        EXPECT_EQ(o.err.find('\n'), o.err.size() - 1) << "one line: " << o.err;
        EXPECT_FALSE(o.json.is_null()) << "one JSON document: " << o.out;
        EXPECT_EQ(entries(), before) << "something was left behind";
        return o;
    }
    std::set<std::string> entries() const {
        std::set<std::string> s;
        for (const auto& e : fs::directory_iterator(dir_.path())) s.insert(e.path().filename().string());
        return s;
    }
    std::map<std::string, std::string> tree(const std::string& name) const {
        std::map<std::string, std::string> t;
        for (const auto& e : fs::recursive_directory_iterator(dir_ / name)) {
            if (e.is_regular_file()) t[fs::relative(e.path(), dir_ / name).string()] = *read_text_file(e.path());
        }
        return t;
    }
    void flip(const std::string& file, std::size_t at) const {
        std::string s = *read_text_file(dir_ / file);
        s[at] = static_cast<char>(s[at] ^ 0x20);
        std::ofstream(dir_ / file, std::ios::binary) << s;
    }
    std::string at(const std::string& name) const { return (dir_ / name).string(); }
    TempDir dir_, home_;
};

const std::vector<std::string> kPackKeys{"output", "files", "raw_bytes", "stored_bytes", "chunks"};
const std::vector<std::string> kVerifyKeys{"intact", "signature", "scheme", "signer", "trusted", "lossless_checked", "verified", "files", "chunks"};

TEST_F(ArtifactCli, PackInspectUnpackDiffInBothForms) {
    for (const char* form : {"file", "dir"}) {
        const std::string x = at(std::string(form) + ".tnpk"), out = std::string("out-") + form;
        const Json packed = done({"artifact", "pack", at("m"), "-o", x, "--form", form}, kPackKeys);
        EXPECT_EQ(packed["files"], 2);
        EXPECT_EQ(fs::is_directory(x), std::string(form) == "dir");
        if (!fs::is_directory(x)) {
            EXPECT_EQ(packed["stored_bytes"], fs::file_size(x));
        }
        const Json facts = done({"artifact", "inspect", x}, kPackKeys);
        EXPECT_EQ(facts["model_id"], "m");
        EXPECT_EQ(facts["form"], form);
        EXPECT_TRUE(facts["base"].is_null());
        EXPECT_EQ(facts["raw_bytes"], packed["raw_bytes"]);
        done({"artifact", "unpack", x, "-o", at(out)}, kPackKeys);
        EXPECT_EQ(tree(out), tree("m"));
        const Json v = done({"artifact", "verify", x, "--full"}, kVerifyKeys);
        EXPECT_EQ(v["signature"], "none");
        EXPECT_EQ(v["verified"], false);
        EXPECT_EQ(v["intact"], true);
        EXPECT_EQ(v["lossless_checked"], true);
    }
    EXPECT_EQ(done({"artifact", "diff", at("file.tnpk"), at("dir.tnpk")}, kPackKeys)["same_content"], true);
    write_model("m2", 3);
    done({"artifact", "pack", at("m2"), "-o", at("m2.tnpk")}, kPackKeys);
    const Json d = done({"artifact", "diff", at("file.tnpk"), at("m2.tnpk")}, kPackKeys);
    EXPECT_EQ(d["same_content"], false);
    EXPECT_EQ(d["changed"], Json({"model.safetensors"}));
    EXPECT_GT(d["shared_bytes"].get<int>(), 0);  // config.json
}

TEST_F(ArtifactCli, InspectModels) {
    const std::vector<std::string> keys{"architecture", "parameters", "bytes", "dtype", "tensors"};
    const Json folder = done({"inspect", at("m")}, keys);
    EXPECT_EQ(folder["architecture"], "LlamaForCausalLM");
    EXPECT_EQ(folder["parameters"], 520);
    EXPECT_EQ(folder["bytes"], 1040);
    EXPECT_EQ(folder["dtype"], "bf16");
    EXPECT_EQ(folder["tensors"].size(), 3u);
    EXPECT_EQ(folder["tensors"][1]["layer"], 0);
    done({"artifact", "pack", at("m"), "-o", at("d.tnpk"), "--base", at("base")}, kPackKeys);
    const Json delta = done({"inspect", at("d.tnpk")}, keys);  // needs no base for this
    EXPECT_EQ(delta["tensors"], folder["tensors"]);
    EXPECT_EQ(delta["architecture"], folder["architecture"]);
    EXPECT_EQ(done({"inspect", at("m/model.safetensors")}, keys)["tensors"], folder["tensors"]);
    refused({"inspect", at("nothing")}, 1, "not-found");
    refused({"inspect", at("m/config.json")}, 1, "unsupported");
    fs::resize_file(dir_ / "m/model.safetensors", 500);
    const Outcome o = refused({"inspect", at("m")}, 1, "malformed");
    EXPECT_NE(o.err.find("model.safetensors"), std::string::npos);
    dir_.write("bad/model.safetensors", "no header at all");
    refused({"inspect", at("bad")}, 1, "malformed");
    const auto text = test::tenpak({"inspect", at("base")});
    EXPECT_EQ(text.code, 0);
    EXPECT_NE(text.out.find("model.layers.0.mlp.up_proj.weight"), std::string::npos);
}

TEST_F(ArtifactCli, SignVerifyTrust) {
    const Json keys = done({"artifact", "keygen", "-o", at("keys")}, {"private_key", "public_key", "fingerprint"});
    const std::string priv = keys["private_key"], pub = keys["public_key"], fingerprint = keys["fingerprint"];
    done({"artifact", "keygen", "-o", at("keys2")}, {});
    refused({"artifact", "keygen", "-o", at("keys")}, 2, "invalid-argument");
    for (const char* form : {"file", "dir"}) {
        const std::string x = at(std::string(form) + ".tnpk"), out = std::string("out-") + form;
        done({"artifact", "pack", at("m"), "-o", x, "--base", at("base"), "--form", form}, kPackKeys);
        const Json s = done({"artifact", "sign", x, "--key", priv}, kVerifyKeys);
        EXPECT_EQ(s["verified"], true);
        Json v = done({"artifact", "verify", x, "--public-key", pub}, kVerifyKeys);
        EXPECT_EQ(v["signature"], "valid");
        EXPECT_EQ(v["scheme"], "ecdsa-p256");
        EXPECT_EQ(v["trusted"], true);
        EXPECT_EQ(v["lossless_checked"], false);
        v = done({"artifact", "verify", x, "--public-key", pub, "--base", at("base")}, kVerifyKeys);
        EXPECT_EQ(v["lossless_checked"], true);
        v = done({"artifact", "verify", x}, kVerifyKeys);
        EXPECT_EQ(v["trusted"], false);
        EXPECT_EQ(v["signature"], "valid");
        refused({"artifact", "verify", x, "--require-trusted"}, 3, "signature");
        const Outcome other = refused({"artifact", "verify", x, "--public-key", at("keys2/tenpak.pub")}, 3, "signature");
        EXPECT_EQ(other.json["signature"], "invalid");
        EXPECT_EQ(other.json["intact"], true);
        done({"artifact", "unpack", x, "-o", at(out), "--base", at("base")}, kPackKeys);
        auto files = tree(out);
        EXPECT_EQ(files.erase("model.sig"), 1u);
        EXPECT_EQ(files, tree("m"));
        v = done({"artifact", "verify", at(out), "--public-key", pub}, kVerifyKeys);
        EXPECT_EQ(v["verified"], true);
        EXPECT_EQ(refused({"artifact", "verify", at(out)}, 3, "signature").json["signature"], "unchecked");
        dir_.write(out + "/config.json", "{}");
        EXPECT_EQ(refused({"artifact", "verify", at(out), "--public-key", pub}, 3, "integrity").json["intact"], false);
    }
    done({"artifact", "trust", "--public-key", pub, "--name", "Ada"}, {"keys"});
    const Json v = done({"artifact", "verify", at("file.tnpk"), "--require-trusted"}, kVerifyKeys);
    EXPECT_EQ(v["signer"], "Ada");
    EXPECT_EQ(v["trusted"], true);
    EXPECT_EQ(done({"artifact", "trust", "--remove", fingerprint}, {"keys"})["keys"].size(), 0u);
    refused({"artifact", "sign", at("file.tnpk")}, 2, "invalid-argument");
    refused({"artifact", "sign", at("file.tnpk"), "--key", at("m/config.json")}, 1, "malformed");
    refused({"artifact", "verify", at("m")}, 3, "signature");
}

TEST_F(ArtifactCli, PassphraseAndSharedSecret) {
    const std::string phrase = dir_.write("phrase", "open sesame\n").string(), secret = dir_.write("secret", std::string(32, 's')).string();
    done({"artifact", "keygen", "-o", at("keys"), "--passphrase-file", phrase}, {});
    done({"artifact", "pack", at("m"), "-o", at("x.tnpk")}, kPackKeys);
    refused({"artifact", "sign", at("x.tnpk"), "--key", at("keys/tenpak.key")}, 1, "permission");
    done({"artifact", "sign", at("x.tnpk"), "--key", at("keys/tenpak.key"), "--passphrase-file", phrase}, kVerifyKeys);
    Json v = done({"artifact", "sign", at("x.tnpk"), "--hmac-key", secret}, kVerifyKeys);
    EXPECT_EQ(v["scheme"], "hmac-sha256");
    EXPECT_EQ(v["signer"], "");
    v = done({"artifact", "verify", at("x.tnpk"), "--hmac-key", secret}, kVerifyKeys);
    EXPECT_EQ(v["verified"], true);
    EXPECT_EQ(v["trusted"], false);
    EXPECT_EQ(refused({"artifact", "verify", at("x.tnpk")}, 3, "signature").json["signature"], "unchecked");
    EXPECT_EQ(refused({"artifact", "verify", at("x.tnpk"), "--hmac-key", phrase}, 2, "invalid-argument").json.contains("error"), true);
    refused({"artifact", "verify", at("x.tnpk"), "--public-key", at("keys/tenpak.pub")}, 3, "signature");
}

TEST_F(ArtifactCli, DamageIsExitCode3AndNothingIsLeft) {
    done({"artifact", "pack", at("m"), "-o", at("x.tnpk")}, kPackKeys);
    const auto size = fs::file_size(dir_ / "x.tnpk");
    for (const std::size_t place : {std::size_t{2}, std::size_t{9}, std::size_t{60}, std::size_t{300}, static_cast<std::size_t>(size) - 1}) {
        flip("x.tnpk", place);
        refused({"artifact", "verify", at("x.tnpk")}, 3, "integrity");
        refused({"artifact", "unpack", at("x.tnpk"), "-o", at("out")}, 3, "integrity");
        flip("x.tnpk", place);
    }
    dir_.write("cut.tnpk", read_text_file(dir_ / "x.tnpk")->substr(0, size - 1));
    refused({"artifact", "unpack", at("cut.tnpk"), "-o", at("out")}, 3, "integrity");
    refused({"artifact", "inspect", at("cut.tnpk")}, 3, "integrity");
    dir_.write("long.tnpk", *read_text_file(dir_ / "x.tnpk") + "x");
    refused({"artifact", "verify", at("long.tnpk")}, 3, "integrity");
}

TEST_F(ArtifactCli, BadInputAndOutput) {
    done({"artifact", "pack", at("m"), "-o", at("d.tnpk"), "--base", at("base")}, kPackKeys);
    refused({"artifact", "unpack", at("d.tnpk"), "-o", at("out")}, 2, "invalid-argument");
    refused({"artifact", "unpack", at("d.tnpk"), "-o", at("out"), "--base", at("m")}, 3, "wrong-base");
    refused({"artifact", "unpack", at("d.tnpk"), "-o", at("m"), "--base", at("base")}, 2, "invalid-argument");
    refused({"artifact", "unpack", at("nothing.tnpk"), "-o", at("out")}, 1, "not-found");
    refused({"artifact", "unpack", at("m/config.json"), "-o", at("out")}, 1, "malformed");
    refused({"artifact", "pack", at("d.tnpk"), "-o", at("e.tnpk")}, 2, "invalid-argument");
    refused({"artifact", "pack", at("m"), "-o", at("no/such/folder.tnpk")}, 1, "not-found");
    refused({"artifact", "pack", at("m"), "-o", at("m")}, 2, "invalid-argument");
    refused({"artifact", "pack", at("m")}, 2, "invalid-argument");
    refused({"artifact"}, 2, "invalid-argument");
    refused({"artifact", "verify", at("d.tnpk"), "--hmac-key", "a", "--public-key", "b"}, 2, "invalid-argument");
}

TEST_F(ArtifactCli, ExecutableFilesStayExecutable) {
    dir_.write("m/run.sh", "#!/bin/sh\n");
    fs::permissions(dir_ / "m/run.sh", fs::perms::owner_exec, fs::perm_options::add);
    done({"artifact", "pack", at("m"), "-o", at("x.tnpk")}, kPackKeys);
    done({"artifact", "unpack", at("x.tnpk"), "-o", at("out")}, kPackKeys);
    EXPECT_NE(fs::status(dir_ / "out/run.sh").permissions() & fs::perms::owner_exec, fs::perms::none);
    EXPECT_EQ(fs::status(dir_ / "out/config.json").permissions() & fs::perms::owner_exec, fs::perms::none);
}

}  // namespace
}  // namespace tenpak
