// expect: 'VerifiedReport' initializer is inaccessible due to 'fileprivate' protection level
import SCXAttestation

func make(_ report: VerifiedReport) -> VerifiedReport {
    VerifiedReport(
        contents: report.contents, key: report.key, currentTCB: report.currentTCB,
        reportedTCB: report.reportedTCB, committedTCB: report.committedTCB, launchTCB: report.launchTCB)
}
