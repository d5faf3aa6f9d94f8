// SPDX-License-Identifier: Apache-2.0
// Artifacts with the real codecs: unpack, parts, streaming, opening as a model; and damage, tried at every byte.
#include <fstream>

#include "core/delta/compress.h"
#include "core/delta/reconstruct.h"
#include "core/signing/signing.h"
#include "tests/support/artifact_builder.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::TempDir;

/// A model of a few tensors. `base`: the same with the lowest bit of every third weight turned over. `scale`: on their lengths.
void write_model(const TempDir& dir, const std::string& name, bool base, unsigned scale = 1) {
    const std::vector<std::pair<std::string, unsigned>> tensors{{"model.embed_tokens.weight", 96 * scale}, {"model.layers.0.mlp.up_proj.weight", 64 * scale}, {"model.layers.0.norm.weight", 16 * scale},
                                                                {"model.layers.1.mlp.up_proj.weight", 64 * scale}, {"model.norm.weight", 16 * scale}, {"lm_head.weight", 96 * scale}};
    dir.write(name + "/model.safetensors", test::small_safetensors(tensors, 1, base));
    dir.write(name + "/config.json", std::string("{\"architectures\":[\"LlamaForCausalLM\"],\"base\":") + (base ? "true}" : "false}"));
    dir.write(name + "/sub/notes.txt", "notes");
}
std::map<std::string, std::string> tree(const fs::path& root) {
    std::map<std::string, std::string> t;
    for (const auto& e : fs::recursive_directory_iterator(root)) {
        if (e.is_regular_file()) t[fs::relative(e.path(), root).string()] = *read_text_file(e.path());
    }
    return t;
}
fs::path write_artifact(const TempDir& dir, ArtifactForm form, bool with_base, bool sign) {
    const fs::path path = dir / "x.tnpk";
    fs::remove_all(path);
    const auto model = *ModelDirectory::open(dir / "model");
    auto w = *ArtifactWriter::create(path, {form, "none", {}});
    if (with_base) {
        const auto r = delta::compress(**ModelDirectory::open(dir / "base"), *model, *w, {}, {});
        EXPECT_TRUE(r.ok()) << r.error().text();
    } else {
        EXPECT_TRUE(delta::pack(*model, *w, {}, {}).ok());
    }
    const auto a = w->finish({}, {});
    EXPECT_TRUE(a.ok()) << a.error().text();
    if (sign) {
        signing::SigningKey key;
        key.private_key = signing::generate_key(dir / "keys", "")->private_key;
        EXPECT_TRUE(signing::sign_artifact(path, key, {}).ok());
        fs::remove_all(dir / "keys");
    }
    return path;
}

struct Kind {
    const char* name;
    ArtifactForm form;
    bool with_base, sign;
};
/// Thousands of unpacked folders, each with its fsyncs: in memory where that is possible.
struct InMemory {
    InMemory() {
        if (fs::exists("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0);
    }
};
class Unpack : public InMemory, public testing::TestWithParam<Kind> {
   protected:
    void SetUp() override {
        setenv("XDG_CACHE_HOME", (cache_ / "c").c_str(), 1);
        write_model(dir_, "model", false);
        write_model(dir_, "base", true);
        path_ = write_artifact(dir_, GetParam().form, GetParam().with_base, GetParam().sign);
        if (GetParam().with_base) base_ = *ModelDirectory::open(dir_ / "base");
    }
    /// What `tenpak artifact unpack` does.
    Result<delta::ReconstructReport> unpack() const {
        TENPAK_ASSIGN(const auto a, Artifact::open(path_));
        TENPAK_RETURN_IF_ERROR(signing::refuse_forged(*a, nullptr));
        TENPAK_ASSIGN(const auto view, unpacked_view(a));
        return delta::reconstruct(*view, base_.get(), dir_ / "out", {.threads = 1, .verify = delta::Verify::kStored, .verify_base = false}, {});
    }
    TempDir dir_, cache_;
    fs::path path_;
    std::shared_ptr<const ModelSource> base_;
};

TEST_P(Unpack, GivesEveryFileBack) {
    const auto r = unpack();
    ASSERT_TRUE(r.ok()) << r.error().text();
    auto out = tree(dir_ / "out");
    EXPECT_EQ(out.erase("model.sig"), GetParam().sign ? 1u : 0u);
    EXPECT_EQ(out, tree(dir_ / "model"));
}

TEST_P(Unpack, EveryFlippedByteIsFoundAndNothingIsLeft) {
    std::vector<fs::path> files;
    if (GetParam().form == ArtifactForm::kFile) files = {path_};
    else for (const auto& e : fs::recursive_directory_iterator(path_)) if (e.is_regular_file()) files.push_back(e.path());
    const auto before = std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator());
    for (const fs::path& f : files) {
        const std::string good = *read_text_file(f);
        std::fstream in_place(f, std::ios::binary | std::ios::in | std::ios::out);
        // In the manifest and the signatures every 7th: damage_test tries each byte of those without the unpacking.
        const auto is_json = [&, from = good.find("{\"attestation"), sig = good.find("{\"dsseEnvelope")](std::size_t i) {
            const std::size_t manifest = from == std::string::npos ? 0 : (*Artifact::open(path_))->manifest_bytes().size();
            return (i >= from && i < from + manifest) || i >= sig;
        };
        std::vector<std::size_t> bytes;
        for (std::size_t i = 0; i < good.size(); ++i) bytes.push_back(i);
        std::erase_if(bytes, [&](std::size_t i) { return i % 7 != 0 && is_json(i); });
        for (const std::size_t i : bytes) {
            const auto put = [&](char c) { in_place.seekp(static_cast<std::streamoff>(i)).put(c).flush(); };
            put(static_cast<char>(good[i] ^ (1 << (i % 8))));
            const auto r = unpack();
            ASSERT_FALSE(r.ok()) << f.filename() << " byte " << i << " was not found";
            EXPECT_EQ(exit_code(r.error().code), 3) << f.filename() << " byte " << i << ": " << r.error().text();
            put(good[i]);
        }
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()), before);
    EXPECT_TRUE(unpack().ok());
}

INSTANTIATE_TEST_SUITE_P(Kind, Unpack,
                         testing::Values(Kind{"File", ArtifactForm::kFile, false, false}, Kind{"FileSigned", ArtifactForm::kFile, false, true},
                                         Kind{"FileDeltaSigned", ArtifactForm::kFile, true, true}, Kind{"Folder", ArtifactForm::kDirectory, false, false},
                                         Kind{"FolderDeltaSigned", ArtifactForm::kDirectory, true, true}),
                         [](const auto& i) { return i.param.name; });

class Parts : public testing::Test {
   protected:
    void SetUp() override {
        setenv("XDG_CACHE_HOME", (dir_ / "c").c_str(), 1);
        write_model(dir_, "model", false, 4096);  // large enough for blocks of their own
        write_model(dir_, "base", true, 4096);
        model_ = *ModelDirectory::open(dir_ / "model");
        base_ = *ModelDirectory::open(dir_ / "base");
        artifact_ = *Artifact::open(write_artifact(dir_, ArtifactForm::kFile, true, false));
    }
    std::string data(const std::string& tensor) const {
        const TensorInfo* t = model_->find(tensor);
        Bytes b(t->bytes);
        EXPECT_TRUE(model_->read(*t, 0, b).ok());
        return std::string(as_text(b));
    }
    TempDir dir_;
    std::shared_ptr<const ModelDirectory> model_, base_;
    std::shared_ptr<const Artifact> artifact_;
};

TEST_F(Parts, OneLayerWithoutItsNeighbours) {
    const auto layer = artifact_->load_chunk("layers.0", base_.get());
    ASSERT_TRUE(layer.ok()) << layer.error().text();
    ASSERT_EQ(layer->size(), 2u);
    EXPECT_EQ((*layer)[0].first, "model.layers.0.mlp.up_proj.weight");
    EXPECT_EQ(as_text((*layer)[0].second), data("model.layers.0.mlp.up_proj.weight"));
    EXPECT_EQ(as_text((*layer)[1].second), data("model.layers.0.norm.weight"));
    EXPECT_EQ(artifact_->load_chunk("lm_head.weight", base_.get())->size(), 1u);
    EXPECT_EQ(artifact_->load_chunk("layers.7", base_.get()).error().code, ErrorCode::kNotFound);
    const auto blocks = artifact_->part("layers.0");
    ASSERT_TRUE(blocks.ok());
    for (const BlockId id : *blocks) EXPECT_NE(artifact_->blocks()[id].name.find("layers.0"), std::string::npos);
    EXPECT_FALSE(artifact_->part("files")->empty());
    EXPECT_EQ(artifact_->part("config.json")->size(), 1u);
}

TEST_F(Parts, StreamedInLayerOrder) {
    std::vector<std::string> order;
    ASSERT_TRUE(artifact_->stream_layers(base_.get(), [&](const std::string& part, const std::string& tensor, Bytes bytes) -> Status {
        order.push_back(part);
        EXPECT_EQ(as_text(bytes), data(tensor)) << tensor;
        return {};
    }, {}).ok());
    EXPECT_EQ(order, (std::vector<std::string>{"embeddings", "layers.0", "layers.0", "layers.1", "norm", "head"}));
    int calls = 0;
    const Status stopped = artifact_->stream_layers(base_.get(), [&](auto&, auto&, Bytes) -> Status {
        ++calls;
        return make_error(ErrorCode::kNoSpace, "full");
    }, {});
    EXPECT_EQ(stopped.error().code, ErrorCode::kNoSpace);
    EXPECT_EQ(calls, 1);
}

TEST_F(Parts, TensorsAndSideFilesWithoutTheBase) {
    const auto tensors = artifact_->tensors();
    ASSERT_TRUE(tensors.ok()) << tensors.error().text();
    EXPECT_EQ(tensors->size(), 6u);
    EXPECT_EQ((*tensors)[0].name, "model.embed_tokens.weight");
    EXPECT_EQ(as_text(*artifact_->read_side_file("config.json")), *read_text_file(dir_ / "model/config.json"));
    EXPECT_EQ(artifact_->read_side_file("nothing").error().code, ErrorCode::kNotFound);
}

TEST_F(Parts, OpensAsAModelWithItsBase) {
    const auto m = open_model(dir_ / "x.tnpk", dir_ / "base");
    ASSERT_TRUE(m.ok()) << m.error().text();
    ASSERT_EQ((*m)->tensors().size(), 6u);
    for (const TensorInfo& t : model_->tensors()) {
        const TensorInfo* mine = (*m)->find(t.name);
        ASSERT_NE(mine, nullptr);
        EXPECT_EQ(*tensor_digest(**m, *mine, {}), *tensor_digest(*model_, t, {})) << t.name;
    }
    EXPECT_EQ(as_text(*(*m)->read_side_file("config.json")), *read_text_file(dir_ / "model/config.json"));
    EXPECT_EQ(open_model(dir_ / "x.tnpk").error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(open_model(dir_ / "x.tnpk", dir_ / "model").error().code, ErrorCode::kWrongBase);
    EXPECT_TRUE(open_model(dir_ / "model").ok());
    EXPECT_EQ(open_model(dir_ / "nothing.tnpk").error().code, ErrorCode::kNotFound);
}

TEST_F(Parts, EqualTensorsAreStoredOnceAndFoundUnderBothNames) {
    const std::string one(64, 'x');
    ASSERT_TRUE(write_safetensors(dir_ / "tied.safetensors", {{"lm_head.weight", DType::kBF16, {32}, as_bytes(one)},
                                                              {"model.embed_tokens.weight", DType::kBF16, {32}, as_bytes(one)}}).ok());
    auto w = *ArtifactWriter::create(dir_ / "tied.tnpk", {});
    ASSERT_TRUE(delta::pack(**ModelDirectory::open(dir_ / "tied.safetensors"), *w, {}, {}).ok());
    const auto a = *w->finish({}, {});
    EXPECT_EQ(as_text(a->load_chunk("head", nullptr)->at(0).second), one);
    EXPECT_EQ(as_text(a->load_chunk("embeddings", nullptr)->at(0).second), one);
    EXPECT_EQ(*a->part("head"), *a->part("embeddings"));
}

TEST_F(Parts, RefusedArtifactIsNotPutInPlace) {
    ArtifactOptions options;
    options.accept = [](const Artifact& a) -> Status {
        EXPECT_EQ(a.files().size(), 3u);
        return make_error(ErrorCode::kInternal, "does not rebuild");
    };
    auto w = *ArtifactWriter::create(dir_ / "y.tnpk", options);
    ASSERT_TRUE(delta::pack(*model_, *w, {}, {}).ok());
    EXPECT_EQ(w->finish({}, {}).error().code, ErrorCode::kInternal);
    EXPECT_FALSE(fs::exists(dir_ / "y.tnpk"));
}

}  // namespace
}  // namespace tenpak
