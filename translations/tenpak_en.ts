<?xml version="1.0" encoding="utf-8"?>
<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
<!DOCTYPE TS>
<TS version="2.1" language="en_US">
<context>
    <name>tenpak::ui::LayerMap</name>
    <message numerus="yes">
        <source>%n tensor(s)</source>
        <translation>
            <numerusform>%n tensor</numerusform>
            <numerusform>%n tensors</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>This model has no numbered layers. Its %n largest tensor(s), stored of raw:</source>
        <translation>
            <numerusform>This model has no numbered layers. Its only tensor, stored of raw:</numerusform>
            <numerusform>This model has no numbered layers. Its %n largest tensors, stored of raw:</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>tenpak::ui::SizeCard</name>
    <message numerus="yes">
        <source>Write the recovered adapter (%n tensor(s), rank up to %1) as a PEFT folder</source>
        <translation>
            <numerusform>Write the recovered adapter (%n tensor, rank %1) as a PEFT folder</numerusform>
            <numerusform>Write the recovered adapter (%n tensors, rank up to %1) as a PEFT folder</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>Lossless, rebuilt and compared here: %1 of %n file(s) have the same SHA-256</source>
        <translation>
            <numerusform>Lossless, rebuilt and compared here: the file has the same SHA-256</numerusform>
            <numerusform>Lossless, rebuilt and compared here: %1 of %n files have the same SHA-256</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>Not lossless: %1 of %n file(s) have the same SHA-256</source>
        <translation>
            <numerusform>Not lossless: the file has another SHA-256</numerusform>
            <numerusform>Not lossless: %1 of %n files have the same SHA-256</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>ArtifactsPage</name>
    <message numerus="yes">
        <source>%1 of %n file(s) have the SHA-256 of the original</source>
        <translation>
            <numerusform>%1 of %n file has the SHA-256 of the original</numerusform>
            <numerusform>%1 of %n files have the SHA-256 of the original</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>tenpak::app::FindBaseController</name>
    <message numerus="yes">
        <source>%n model(s) compared in %1</source>
        <translation>
            <numerusform>%n model compared in %1</numerusform>
            <numerusform>%n models compared in %1</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>tenpak::app::ArchiveController</name>
    <message numerus="yes">
        <source>%n model(s) found, none to archive.</source>
        <translation>
            <numerusform>%n model found, none to archive.</numerusform>
            <numerusform>%n models found, none to archive.</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>%n model(s) found</source>
        <translation>
            <numerusform>%n model found</numerusform>
            <numerusform>%n models found</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>Archive %n model(s)</source>
        <translation>
            <numerusform>Archive %n model</numerusform>
            <numerusform>Archive %n models</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>%n failed and stayed as they were</source>
        <translation>
            <numerusform>%n failed and stayed as it was</numerusform>
            <numerusform>%n failed and stayed as they were</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>%n model(s) are as they were</source>
        <translation>
            <numerusform>%n model is as it was</numerusform>
            <numerusform>%n models are as they were</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>tenpak::ui::ArchiveDialog</name>
    <message numerus="yes">
        <source>Archive and remove %n original(s)…</source>
        <translation>
            <numerusform>Archive and remove %n original…</numerusform>
            <numerusform>Archive and remove %n originals…</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>Archive %n model(s)</source>
        <translation>
            <numerusform>Archive %n model</numerusform>
            <numerusform>Archive %n models</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>tenpak::studio::Studio</name>
    <message numerus="yes">
        <source>A PEFT folder with the recovered factors of %n tensor(s). Merged into the base it gives the change without its rounding residual.</source>
        <translation>
            <numerusform>A PEFT folder with the recovered factors of %n tensor. Merged into the base it gives the change without its rounding residual.</numerusform>
            <numerusform>A PEFT folder with the recovered factors of %n tensors. Merged into the base it gives the change without its rounding residual.</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>Remove %n original(s) after archiving?</source>
        <translation>
            <numerusform>Remove the original after archiving?</numerusform>
            <numerusform>Remove %n originals after archiving?</numerusform>
        </translation>
    </message>
</context>
</TS>
