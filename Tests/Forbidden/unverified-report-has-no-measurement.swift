// expect: value of type 'UnverifiedReport' has no member 'measurement'
import SCXAttestation

func read(_ report: UnverifiedReport) -> [UInt8] {
    report.measurement
}
