// SPDX-License-Identifier: GPL-3.0-or-later
// Words: numbers to text, error texts, actions and their keys, scripted dialogs.
#include <QTest>

#include "app/action_registry.h"
#include "app/dialog_service.h"
#include "app/error_text.h"
#include "app/format.h"

using namespace tenpak;
using namespace tenpak::app;

class TextTest : public QObject {
    Q_OBJECT
   private slots:
    void initTestCase() { QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates)); }

    void numbers_data() {
        QTest::addColumn<QString>("got");
        QTest::addColumn<QString>("want");
        const auto row = [](const QString& got, const char* want) { QTest::newRow(want) << got << QString::fromUtf8(want); };
        row(format::bytes(757'000'000), "757\u00A0MB");
        row(format::bytes(999), "999\u00A0B");
        row(format::bytes(999.7), "1.00\u00A0kB");
        row(format::bytes(999'600), "1.00\u00A0MB");
        row(format::bytes(2'200'000'000), "2.20\u00A0GB");
        row(format::bytes(0), "0\u00A0B");
        row(format::bytes(9'996'000), "10.0\u00A0MB");
        row(format::estimatedBytes(770e6, 737e6, 803e6), "≈\u00A0770\u00A0MB");
        row(format::estimatedBytes(757.4e6, 757e6, 757.8e6), "≈\u00A0757\u00A0MB");
        row(format::estimatedBytes(757.4e6, 757.4e6, 757.4e6), "757\u00A0MB");
        row(format::estimatedBytes(7.574e6, 4e6, 11e6), "≈\u00A07.6\u00A0MB");
        row(format::byteRange(737e6, 798e6), "737\u00A0MB – 798\u00A0MB");
        row(format::byteRange(2.9791e6, 2.9814e6), "2.979\u00A0MB – 2.981\u00A0MB");
        row(format::bytesPerSecond(0.83e9), "0.83\u00A0GB/s");
        row(format::percent(65.5), "65.5\u202F%");
        row(format::signedPercent(1.31), "+1.31\u202F%");
        row(format::signedPercent(-0.4), "−0.40\u202F%");
        row(format::signedPercent(-0.001), "+0.00\u202F%");
        row(format::plusMinus(0.15), "±\u00A00.15");
        row(format::percentWithInterval(1.31, 1.16, 1.46), "+1.31\u202F% ±\u00A00.15");
        row(format::percentWithInterval(0, 0, 0), "+0.00\u202F%");
        row(format::milliseconds(41.5), "41.5\u00A0ms");
        row(format::milliseconds(0.5312), "0.531\u00A0ms");
        row(format::tokensPerSecond(2391), "2,390\u00A0tok/s");
        row(format::costSentence(0.0612), "$0.061 per 1M tokens");
        row(format::costPerMillion(0.16), "$0.16");
        row(format::milliseconds(std::nan("")), "–");
        row(format::smallError(3.1e-4), "3.1e−4");
        row(format::shape({5632, 2048}), "5632\u2009×\u20092048");
        row(format::shape({}), "scalar");
        row(format::timeLeft(170), "about 3 min left");
        row(format::timeLeft(60), "60 s left");
        row(format::timeLeft(61), "about 1 min left");
        row(format::timeLeft(0.2), "1 s left");
        row(format::timeLeft(7300), "about 2 h left");
        row(format::progressPercent(0.9999), "99\u202F%");
        row(format::progressPercent(0.0001), "1\u202F%");
        row(format::progressPercent(1), "100\u202F%");
        row(format::trimmed(2.0), "2");
        row(format::trimmed(1000), "1,000");
        row(format::count(1049), "1,049");
        row(format::duration(125 * 60), "2 h 5 min");
        row(format::duration(0.0421), "42.1\u00A0ms");
        row(format::shortFingerprint(u"9f86d081884c7d659a2feaa0c55ad015"), "9f86\u00A0d081\u00A0884c\u00A07d65");
        const QDateTime now(QDate(2026, 11, 22), QTime(14, 2));
        row(format::when(now, now), "today, 14:02");
        row(format::when(now.addDays(-1), now), "yesterday, 14:02");
        row(format::when(now.addDays(-10), now), "12 Nov 2026");
    }
    void numbers() {
        QFETCH(QString, got);
        QFETCH(QString, want);
        QCOMPARE(got, want);
    }

    void everyErrorCodeHasTitleAndHint() {
        QSet<QString> titles;
        for (int i = 0; i < kErrorCodeCount; ++i) {
            const auto code = static_cast<ErrorCode>(i);
            QVERIFY2(errorTitle(code).size() > 5, error_code_name(code));
            QVERIFY2(errorHint(code).endsWith(u'.'), error_code_name(code));
            QVERIFY2(!errorTitle(code).endsWith(u'.'), error_code_name(code));
            titles.insert(errorTitle(code));
        }
        QCOMPARE(titles.size(), kErrorCodeCount);  // no code falls back to another's text
    }
    void errorTextNamesWhatAndWhere() {
        const ErrorText t = errorText(make_error(ErrorCode::kMalformed, "shape and byte range disagree", "a\nb.safetensors", "Get it again"));
        QCOMPARE(t.body, QStringLiteral("Shape and byte range disagree (a b.safetensors)."));
        QCOMPARE(t.hint, QStringLiteral("Get it again."));
        QVERIFY(t.details.startsWith(QStringLiteral("error[")));
        QCOMPARE(errorText(make_error(ErrorCode::kNoSpace, "x")).hint, errorHint(ErrorCode::kNoSpace));
    }

    void actionsHaveUniqueIdsAndKeys() {
        ActionRegistry registry;
        QSet<QString> ids;
        QHash<QString, QString> keys;
        for (QAction* a : registry.actions()) {
            QVERIFY2(!ids.contains(a->objectName()), qPrintable(a->objectName()));
            ids.insert(a->objectName());
            QVERIFY2(!a->text().isEmpty(), qPrintable(a->objectName()));
            for (const QKeySequence& k : a->shortcuts()) {
                const QString text = k.toString();
                QVERIFY2(!text.isEmpty(), qPrintable(a->objectName()));
                QVERIFY2(!keys.contains(text), qPrintable(text + QStringLiteral(" twice: ") + a->objectName()));
                keys.insert(text, a->objectName());
            }
        }
        int inMenus = 0;
        for (const auto menu : ActionRegistry::menus()) inMenus += static_cast<int>(registry.actionsOfMenu(menu).size());
        QCOMPARE(inMenus, registry.actions().size());  // the menu bar lists every command
        QCOMPARE(keys.value(QStringLiteral("Ctrl+Shift+B")), QStringLiteral("pair.chooseBase"));
        QCOMPARE(keys.value(QStringLiteral("Ctrl+K")), QStringLiteral("view.palette"));
    }
    void paletteFindsByWords() {
        ActionRegistry registry;
        const auto hits = registry.find(QStringLiteral("base swap"));
        QCOMPARE(hits.size(), 1);
        QCOMPARE(hits[0]->objectName(), QStringLiteral("pair.swap"));
        QCOMPARE(registry.find(QString()).size(), registry.actions().size());
        QVERIFY(registry.find(QStringLiteral("zzz")).isEmpty());
    }
    void contextEnablesThePagesOwnActions() {
        ActionRegistry registry;
        registry.setContext(ActionContext::kSweep);
        QVERIFY(registry.action("sweep.start")->isEnabled());
        QVERIFY(!registry.action("delta.compress")->isEnabled());
        QVERIFY(registry.action("app.quit")->isEnabled());
    }
    void triggeringTellsTheId() {
        ActionRegistry registry;
        QString got;
        connect(&registry, &ActionRegistry::triggered, this, [&](const QString& id) { got = id; });
        registry.action("view.jobs")->trigger();
        QCOMPARE(got, QStringLiteral("view.jobs"));
    }

    void scriptedDialogsAnswerInOrderAndThenCancel() {
        ScriptedDialogService d;
        d.nextPaths = {QStringLiteral("/a"), QStringLiteral("/b")};
        d.nextAnswers = {0};
        QStringList got;
        QList<int> answers;
        for (int i = 0; i < 3; ++i) d.choosePath({}, [&](const QString& p) { got.append(p); });
        Question q;
        q.buttons = {QStringLiteral("Stop"), QStringLiteral("Keep")};
        d.ask(q, [&](int a) { answers.append(a); });
        d.ask(q, [&](int a) { answers.append(a); });
        QVERIFY(got.isEmpty());  // answers come through the event loop, as real dialogs' do
        QTRY_COMPARE(answers.size(), 2);
        QCOMPARE(got, (QStringList{QStringLiteral("/a"), QStringLiteral("/b"), QString()}));
        QCOMPARE(answers, (QList<int>{0, 1}));
    }
};

QTEST_MAIN(TextTest)
#include "text_test.moc"
