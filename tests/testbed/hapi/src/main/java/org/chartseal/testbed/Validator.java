package org.chartseal.testbed;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;

/**
 * Validates resources with the validator of HAPI and HL7, offline: what Chartseal wrote, and what it says of itself.
 *
 * <p>Arguments: the FHIR release (r4, r5), the folders with definitions. Each line on standard input is the path of a resource
 * and, after a tab, the profile that it must follow, if any. Each issue of level error or fatal is a line on standard output,
 * path, place and message divided by tabs; {@code done} and the number of resources end it.
 */
public final class Validator {
    private Validator() {}

    public static void main(String[] arguments) throws IOException {
        FhirContext context = arguments[0].equals("r5") ? FhirContext.forR5() : FhirContext.forR4();
        PrePopulatedValidationSupport ours = new PrePopulatedValidationSupport(context);
        for (String folder : List.of(arguments).subList(1, arguments.length)) {
            try (Stream<Path> files = Files.list(Path.of(folder))) {
                for (Path file : files.filter(path -> path.toString().endsWith(".json")).sorted().toList()) {
                    add(ours, context.newJsonParser().parseResource(Files.readString(file)));
                }
            }
        }
        IValidationSupport chain = new ValidationSupportChain(
                ours,
                new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new SnapshotGeneratingValidationSupport(context));
        FhirInstanceValidator instances = new FhirInstanceValidator(chain);
        instances.setErrorForUnknownProfiles(true);
        FhirValidator validator = context.newValidator().registerValidatorModule(instances);
        int resources = 0;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] asked = line.split("\t", 2);
            ValidationOptions options = new ValidationOptions();
            if (asked.length == 2) {
                options.addProfile(asked[1]);
            }
            String text = Files.readString(Path.of(asked[0]));
            for (SingleValidationMessage message : validator.validateWithResult(text, options).getMessages()) {
                if (message.getSeverity().compareTo(ResultSeverityEnum.ERROR) >= 0) {
                    String said = message.getMessage().replaceAll("\\s+", " ");
                    System.out.println(asked[0] + "\t" + message.getLocationString() + "\t" + said);
                }
            }
            resources++;
        }
        System.out.println("done " + resources);
    }

    private static void add(PrePopulatedValidationSupport ours, IBaseResource resource) {
        ours.addResource(resource);
    }
}
