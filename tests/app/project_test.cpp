// SPDX-License-Identifier: GPL-3.0-or-later
// The document: round trip, undo, schema, autosave, hostile files; recent projects; settings; where the sample is.
#include <QSettings>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include "app/locations.h"
#include "app/project.h"
#include "app/recent_projects.h"

using namespace tenpak;
using namespace tenpak::app;

class ProjectTest : public QObject {
    Q_OBJECT
    QTemporaryDir m_dir;
    QString file(const char* name) const { return m_dir.filePath(QString::fromLatin1(name)); }
    void write(const QString& path, const QByteArray& bytes) {
        QDir().mkpath(QFileInfo(path).absolutePath());
        QFile f(path);
        QVERIFY(f.open(QIODevice::WriteOnly));
        f.write(bytes);
    }

   private slots:
    void initTestCase() { QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates)); }

    void savesAndLoadsEverything() {
        Project p;
        p.reset(file("a.tnpkproj"));
        p.setPair(QStringLiteral("/m/base"), QStringLiteral("/m/chat"), true);
        optimizer::Limits l;
        l.min_throughput_tps = 1000;
        l.max_ppl_delta = 1.5;
        p.setLimits(l);
        p.setCandidates({QStringLiteral("fp16"), QStringLiteral("awq_g128")});
        p.setImports({QStringLiteral("/hub/chat-AWQ")}, {QStringLiteral("fp16"), QStringLiteral("awq_g128"), QStringLiteral("import:chat-AWQ")});
        p.setPriceId(QStringLiteral("l4"));
        p.setNotes(QStringLiteral("Grüße"));
        p.recordSweep(QStringLiteral("s-1"), QStringLiteral("awq_g128"));
        p.recordArtifact(QStringLiteral("/out/x.tnpk"), 65.5);
        QVERIFY(p.dirty());
        QVERIFY(p.save().ok());
        QVERIFY(!p.dirty());
        Project q;
        QVERIFY(q.load(file("a.tnpkproj")).ok());
        ProjectData a = p.data(), b = q.data();
        a.used = b.used = {};
        QVERIFY(a == b);
        QCOMPARE(q.name(), QStringLiteral("chat vs base"));
        QVERIFY(!q.undoStack()->canUndo());
    }

    void undoRestoresEditsAndKeepsFacts() {
        Project p;
        p.setPair(QStringLiteral("/m/base"), QStringLiteral("/m/chat"), false);
        QSignalSpy pairs(&p, &Project::pairChanged);
        p.swapPair();
        QCOMPARE(p.data().base, QStringLiteral("/m/chat"));
        QCOMPARE(pairs.size(), 1);
        p.recordArtifact(QStringLiteral("/x.tnpk"), 50);
        p.undoStack()->undo();
        QCOMPARE(p.data().base, QStringLiteral("/m/base"));
        QCOMPARE(p.data().artifact, QStringLiteral("/x.tnpk"));
        p.undoStack()->redo();
        QCOMPARE(p.data().base, QStringLiteral("/m/chat"));
        QVERIFY(p.undoStack()->undoText().contains(QStringLiteral("swap")));
    }

    void draggingALimitIsOneUndoStep() {
        Project p;
        for (int i = 1; i <= 50; ++i) {
            optimizer::Limits l = defaultLimits();
            l.max_latency_p99_ms = 100 + i;
            p.setLimits(l);
        }
        QCOMPARE(p.undoStack()->count(), 1);
        p.undoStack()->undo();
        QVERIFY(p.data().limits == defaultLimits());
        p.setLimits(defaultLimits());
        QVERIFY(!p.undoStack()->canUndo());  // nothing changed: no step
    }

    void refusesWhatIsNoProject_data() {
        QTest::addColumn<QByteArray>("json");
        QTest::addColumn<int>("code");
        QTest::newRow("empty") << QByteArray() << int(ErrorCode::kMalformed);
        QTest::newRow("other json") << QByteArray("{\"a\":1}") << int(ErrorCode::kMalformed);
        QTest::newRow("array") << QByteArray("[]") << int(ErrorCode::kMalformed);
        QTest::newRow("newer") << QByteArray("{\"format\":\"tenpak-project\",\"version\":2}") << int(ErrorCode::kUnsupported);
        QTest::newRow("version 0") << QByteArray("{\"format\":\"tenpak-project\",\"version\":0}") << int(ErrorCode::kMalformed);
        QTest::newRow("no version") << QByteArray("{\"format\":\"tenpak-project\"}") << int(ErrorCode::kMalformed);
    }
    void refusesWhatIsNoProject() {
        QFETCH(QByteArray, json);
        QFETCH(int, code);
        write(file("bad.tnpkproj"), json);
        Project p;
        p.setNotes(QStringLiteral("mine"));
        const Status s = p.load(file("bad.tnpkproj"));
        QVERIFY(!s.ok());
        QCOMPARE(int(s.error().code), code);
        QCOMPARE(p.data().notes, QStringLiteral("mine"));  // a refused file changes nothing
    }

    void autosaveWritesAndAFailedOneSaysSo() {
        Project p;
        p.reset(file("auto.tnpkproj"));
        p.setAutosave(1);
        QSignalSpy saved(&p, &Project::saved), failed(&p, &Project::saveFailed);
        p.setNotes(QStringLiteral("x"));
        QTRY_COMPARE(saved.size(), 1);
        write(file("not-a-folder"), "x");
        Project q;
        q.reset(file("not-a-folder/q.tnpkproj"));
        QVERIFY(!q.save().ok());
    }

    void recentProjectsArePrunedAndTellTheLastResult() {
        QSettings store(file("recent.ini"), QSettings::IniFormat);
        Settings settings(store);
        RecentProjects recent(settings);
        Project p;
        p.reset(file("r1.tnpkproj"));
        p.setPair(QStringLiteral("/m/TinyLlama"), QStringLiteral("/m/Chat"), false);
        p.recordSweep(QStringLiteral("s-1"), QStringLiteral("awq_g256"));
        p.recordArtifact(QStringLiteral("/x.tnpk"), 65.5);
        QVERIFY(p.save().ok());
        recent.add(file("gone.tnpkproj"));
        recent.add(file("r1.tnpkproj"));
        const auto list = recent.list();
        QCOMPARE(list.size(), 1);
        QCOMPARE(list[0].pair, QStringLiteral("TinyLlama → Chat"));
        QCOMPARE(list[0].result, QStringLiteral("65.5\u202F% smaller · awq_g256 wins"));
        QVERIFY(list[0].when.startsWith(QStringLiteral("today")));
        QCOMPARE(settings.recentProjects().size(), 1);
    }

    void settingsKeepTypesAndForgetMissingKeys() {
        QSettings store(file("s.ini"), QSettings::IniFormat);
        {
            Settings s(store);
            QCOMPARE(s.theme(), ThemeChoice::kSystem);
            QSignalSpy themes(&s, &Settings::themeChanged);
            s.setTheme(ThemeChoice::kDark);
            QCOMPARE(themes.size(), 1);
            write(file("k.key"), "x");
            s.addKeyFile(file("k.key"));
            s.addKeyFile(file("missing.key"));
            s.setLastFolder(QStringLiteral("/no/such/folder"));
            s.sync();
        }
        QSettings again(file("s.ini"), QSettings::IniFormat);
        Settings s(again);
        QCOMPARE(s.theme(), ThemeChoice::kDark);
        QCOMPARE(s.keyFiles(), QStringList{file("k.key")});
        QCOMPARE(s.lastFolder(), QDir::homePath());
        again.setValue(QStringLiteral("appearance/theme"), QStringLiteral("purple"));
        QCOMPARE(s.theme(), ThemeChoice::kSystem);
    }

    void theSampleIsFoundAboveABuildTreeAndInAnInstallation() {
        QVERIFY(!findSample(file("nowhere/bin")));
        for (const char* at : {"tree/resources/sample", "inst/share/tenpak/sample"}) {
            write(file(at) + QStringLiteral("/base/model.safetensors"), QByteArray(100, 'x'));
            write(file(at) + QStringLiteral("/finetune/model.safetensors"), QByteArray(200, 'x'));
        }
        write(file("tree/resources/sample/recorded-sweep.json"), "{}");
        QDir().mkpath(file("tree/build/dev/bin"));
        QDir().mkpath(file("inst/bin"));
        const auto tree = findSample(file("tree/build/dev/bin"));
        QVERIFY(tree);
        QCOMPARE(tree->bytes, 300u);
        QVERIFY(tree->recordedSweep.endsWith(QStringLiteral("recorded-sweep.json")));
        const auto installed = findSample(file("inst/bin"));
        QVERIFY(installed);
        QVERIFY(installed->recordedSweep.isEmpty());
        QVERIFY(findWorkerProgram(file("tree/build/dev/bin")).isEmpty());
    }
};

QTEST_GUILESS_MAIN(ProjectTest)
#include "project_test.moc"
